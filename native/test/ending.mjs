// node --expose-gc ending.mjs FOLDER CALL CGROUP-MOUNT|- NETWORK A call in flight, several at once, while
// garbage is collected; then in workers that are terminated, a step later each time; then in this process,
// which exits with 7 in the middle.
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { possibleCalls, prepareFixture } from './every-call.mjs';

const LANES = 4;
const STEPS = 6;

const [folder, name, cgroupMount, hasNetwork, step] = isMainThread ? process.argv.slice(2) : workerData;
const mount = cgroupMount === '-' ? undefined : cgroupMount;

function start(fixture, round) {
  const call = possibleCalls(fixture)[name];
  const lanes = Array.from({ length: LANES }, (_, lane) => {
    // What an earlier one left in the middle is in nobody's way.
    const own = `${name}-${round}-${Number(step ?? 0) * 10 + lane}`;
    return call(fixture, own, {}).catch(() => {});
  });
  return Promise.all(lanes);
}

async function turns(count) {
  for (let turn = 0; turn < count; ++turn) await new Promise(setImmediate);
}

async function terminateWorkers(fixture) {
  for (let at = 0; at < STEPS; ++at) {
    const worker = new Worker(fileURLToPath(import.meta.url), {
      // Else Node warns of descriptors that came from the addon and are closed by `fs`.
      trackUnmanagedFds: false,
      workerData: [folder, name, cgroupMount, hasNetwork, at, fixture.netns],
    });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await turns(at);
    await worker.terminate();
  }
}

if (isMainThread) {
  const fixture = await prepareFixture(folder, mount, hasNetwork === 'true');
  const collector = setInterval(() => globalThis.gc(), 1);
  await start(fixture, 0);
  await start(fixture, 1);
  clearInterval(collector);
  await terminateWorkers(fixture);
  console.log('survived');
  void start(fixture, 2);
  await turns(Number(process.pid) % STEPS);
  process.exit(7);
} else {
  const fixture = { folder, netns: workerData[5], cgroupMount: mount, hasNetwork: hasNetwork === 'true' };
  for (let round = 10; ; ++round) {
    const lanes = start(fixture, round);
    parentPort.postMessage('in');
    await lanes;
  }
}
