import { readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createCgroup, createNetns, deleteNetns, spawnProcess } from '../dist/index.js';
import * as cgroups from './cgroup-fixture.js';
import { rejection, runNode, temporaryFolder } from './fixture.js';
import * as network from './network-fixture.js';

const noNetwork = await network.reasonForSkip();
const noCgroups = cgroups.reasonForSkip();

test.skipIf(noNetwork !== undefined)('enters a namespace that is kept by a bind mount', async () => {
  const netns = join(temporaryFolder(), 'slot');
  await createNetns(netns);
  onTestFinished(() => deleteNetns(netns).then(() => undefined));
  const child = await spawnProcess({ file: 'sleep', args: ['1000'], netns });
  onTestFinished(() => void child.kill('SIGKILL'));
  const own = readlinkSync(`/proc/${child.identity.pid}/ns/net`);
  expect(own).not.toBe(readlinkSync('/proc/self/ns/net'));
  const other = await spawnProcess({ file: 'sleep', args: ['1000'], netns });
  onTestFinished(() => void other.kill('SIGKILL'));
  expect(readlinkSync(`/proc/${other.identity.pid}/ns/net`)).toBe(own);
  child.kill('SIGKILL');
  other.kill('SIGKILL');
  await Promise.all([child.ref().exited, other.ref().exited]);
});

test.skipIf(noCgroups !== undefined)('cgroup, user, group, limits and directory at once', async () => {
  if (process.getuid?.() !== 0) return;
  const cgroup = cgroups.cgroupPath();
  await createCgroup(cgroup);
  const child = await spawnProcess({
    file: 'sleep',
    args: ['1000'],
    cgroup,
    uid: 65_534,
    gid: 65_533,
    cwd: '/usr',
    limits: { openFiles: 99, coreSizeBytes: 0 },
  });
  const of = (name: string): string => readFileSync(`/proc/${child.identity.pid}/${name}`, 'utf8');
  expect(of('cgroup')).toContain(`/${cgroup.split('/').at(-1) ?? ''}\n`);
  expect(of('status')).toMatch(/^Uid:\t65534\t65534\t65534\t65534$/m);
  expect(of('status')).toMatch(/^Gid:\t65533\t65533\t65533\t65533$/m);
  expect(of('status')).toMatch(/^CapEff:\t0+$/m);
  expect(of('limits')).toMatch(/^Max open files +99 +99 /m);
  expect(of('limits')).toMatch(/^Max core file size +0 +0 /m);
  expect(readlinkSync(`/proc/${child.identity.pid}/cwd`)).toBe('/usr');
});

test('what is no cgroup names the step and the path', async () => {
  const folder = temporaryFolder();
  const error = await rejection(spawnProcess({ file: 'true', cgroup: folder }));
  expect(error).toMatchObject({ code: 'EBADF', syscall: 'clone3', path: folder });
});

test('another user without the capability: the child names its step', async ({ skip }) => {
  if (process.getuid?.() !== 0) return skip('only root can become somebody else');
  const code = (options: string): string =>
    `const error = await native.spawnProcess({ file: 'true', ${options} }).catch((error) => error);
     console.log(error.code, error.errno, error.syscall);`;
  const user = { uid: 65_534, gid: 65_534, cwd: '/' };
  const asUser = await runNode(code('uid: 1'), [], user).finished;
  expect(asUser).toEqual({ code: 0, signal: null, output: 'EPERM -1 setgroups\n' });
  const intoNetns = await runNode(code(`netns: '/proc/1/ns/net'`), [], user).finished;
  expect(intoNetns.output).toMatch(/^(EACCES -13 open|EPERM -1 setns)\n$/);
  const limits = await runNode(code('limits: { openFiles: 2 ** 40 }'), [], user).finished;
  expect(limits.output).toBe('EPERM -1 prlimit\n');
});
