import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { searchProcesses, spawnProcess } from '../dist/index.js';
import { runNode, temporaryFolder } from './fixture.js';

test('finds a process by each of its marks, and tells what they are', async () => {
  const folder = temporaryFolder();
  const child = await spawnProcess({ file: 'sh', args: ['-c', 'kill -STOP $$'], cwd: folder });
  onTestFinished(() => void child.kill('SIGKILL'));
  const uid = process.getuid?.() ?? -1;
  const pids = [child.identity.pid];
  const { found, unanswered } = await searchProcesses({ cwd: folder, uid, root: '/', argument: 'STOP' });
  expect(unanswered).toEqual([]);
  expect(found).toMatchObject([
    { ...child.identity, uid, root: '/', cwd: folder, args: ['sh', '-c', 'kill -STOP $$'] },
  ]);
  const cgroup = found[0]?.cgroup ?? '';
  expect((await searchProcesses({ pids, ...(cgroup === '' ? {} : { cgroup }) })).found).toEqual(found);
  for (const other of [
    { uid: uid + 1 },
    { cgroup: '/none' },
    { cwd: '/' },
    { argument: 'none' },
    { pids: [] },
  ]) {
    expect((await searchProcesses({ pids, ...other })).found).toEqual([]);
  }
});

test.each([{ pids: [0] }, { pids: 1 }, { uid: -1 }, { cwd: '' }, { argument: 5 }, { deadlineMs: 0 }, null])(
  'a wrong query is a TypeError at once: %j',
  (query) => {
    // @ts-expect-error wrong on purpose
    expect(() => searchProcesses(query)).toThrow(TypeError);
  },
);

// In a mount namespace of its own: a FIFO lies over the command line of a child, so whoever opens it waits.
const STUCK = `
  import { execFileSync } from 'node:child_process';
  const [folder, marker] = process.argv.slice(1);
  const child = await native.spawnProcess({ file: 'sh', args: ['-c', 'kill -STOP $$', marker] });
  execFileSync('mount', ['--bind', folder + '/fifo', '/proc/' + child.identity.pid + '/cmdline']);
  const searches = Array.from({ length: 20 }, () => native.searchProcesses({ argument: marker }));
  (await native.lockDirectory(folder)).release();
  console.log('others answer');
  await Promise.all(searches);
  const { unanswered } = await native.searchProcesses({ argument: marker, pids: [child.identity.pid] });
  console.log(JSON.stringify(unanswered) === JSON.stringify([{ pid: child.identity.pid }]) ? 'told' : 'not told');
  child.kill('SIGKILL');
`;

function mayMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true']);
    return true;
  } catch {
    return false;
  }
}

test.skipIf(!mayMount())(
  'a process that does not answer holds up no other call, nor the end of the program',
  async () => {
    const folder = temporaryFolder();
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    const node = runNode(STUCK, [folder, `stuck-${process.pid}`], { under: ['unshare', '--mount'] });
    expect(await node.finished).toMatchObject({ code: 0, output: 'others answer\ntold\n' });
  },
);
