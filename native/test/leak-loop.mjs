// node --expose-gc leak-loop.mjs FOLDER CALL ROUNDS CGROUP-MOUNT|- NETWORK Makes a call ROUNDS times, and as
// often again with an abort in its middle, and prints what this process holds before and after.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { possibleCalls, prepareFixture } from './every-call.mjs';

const LANES = 8;
const WARM_UP = 24;
const PATIENCE_MS = 300_000;
const POOL_THREADS = 64;

const [folder, name, rounds, cgroupMount, hasNetwork] = process.argv.slice(2);
const mount = cgroupMount === '-' ? undefined : cgroupMount;
const fixture = await prepareFixture(folder, mount, hasNetwork === 'true');
const call = possibleCalls(fixture)[name];

function threadNames() {
  return readdirSync('/proc/self/task').map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    } catch {
      return 'ended';
    }
  });
}

function childCount() {
  const lists = readdirSync('/proc/self/task').map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/children`, 'utf8');
    } catch {
      return '';
    }
  });
  return lists.join(' ').split(' ').filter(Boolean).length;
}

function held() {
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    // The reaper, the committer and the like are there for good once they were needed.
    threads: threadNames().length,
    children: childCount(),
    temporaryFiles: readdirSync(folder, { recursive: true }).filter((file) => /(^|\/)\.tmp-/.test(file))
      .length,
  };
}

function residentKib() {
  globalThis.gc();
  return Math.round(process.memoryUsage.rss() / 1024);
}

/** A signal that aborts after a few turns of the event loop, never the same number twice in a row. */
function abortSoon(round) {
  const controller = new AbortController();
  let turns = round % 13;
  const next = () => {
    if (turns-- <= 0) controller.abort(new Error('aborted by the test'));
    else setImmediate(next);
  };
  next();
  return controller.signal;
}

const ends = { done: 0, aborted: 0, failed: [] };

async function once(lane, round, isAborted) {
  const signal = isAborted ? abortSoon(round) : undefined;
  try {
    // Without the key where there is no signal: a caller's options have none either.
    await call(fixture, `${name}-${10 + lane}`, signal === undefined ? {} : { signal });
    ends.done += 1;
  } catch (error) {
    if (isAborted && error === signal.reason) ends.aborted += 1;
    else ends.failed.push(String(error));
  }
}

async function loop(count) {
  const lane = async (number) => {
    for (let round = number; round < 2 * count; round += LANES) await once(number, round, round >= count);
  };
  await Promise.all(Array.from({ length: LANES }, (_, number) => lane(number)));
}

/**
 * As at the start, or what it is in the end: threads of the kernel's own and of libuv take a moment to go.
 */
async function settled(before) {
  const deadline = performance.now() + PATIENCE_MS;
  while (performance.now() < deadline) {
    const now = held();
    if (Object.keys(now).every((key) => now[key] <= before[key])) return now;
    await setTimeout(20);
  }
  return { ...held(), names: threadNames() };
}

await loop(WARM_UP);
await setTimeout(100);
ends.done = ends.aborted = 0;
const before = { ...held(), residentKib: residentKib() };
// Threads that wait for the next call: of durable changes, of the turns of long calls and of libuv there is a
// fixed number at most, and the loop may have needed more of them than the warm-up. A thread lost by each
// call would be hundreds.
before.threads += POOL_THREADS;
await loop(Number(rounds));
const after = { ...(await settled(before)), residentKib: residentKib() };
await fixture.close();
console.log(JSON.stringify({ before, after, ends }));
