import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { faultyFirecracker, writeFaults, type FaultRule } from '../src/index.js';
import { boot, bootVm, BOOT_ARGS, clientOf, newFolder, pause, stageFiles, startVmm } from './fixture.js';
import { dialGuest, type VmmProcess } from './vmm-process.js';

async function faultyVm(...rules: FaultRule[]): Promise<VmmProcess> {
  return bootVm(BOOT_ARGS, await faultyFirecracker(await newFolder(), rules));
}

async function startFaulty(...rules: FaultRule[]): Promise<VmmProcess> {
  return startVmm(await newFolder(), await faultyFirecracker(await newFolder(), rules));
}

test('without a rule that applies nothing is different', async () => {
  const vmm = await startFaulty({ on: 'GET /nope', do: 'exit' });
  expect((await vmm.ask('GET', '/version')).status).toBe(200);
});

test('a request is answered by the rule, so many times, after so many that passed', async () => {
  const rule = {
    on: 'GET /version',
    do: 'answer',
    status: 500,
    message: 'no "way"',
    skip: 1,
    times: 2,
  } as const;
  const vmm = await startFaulty(rule);
  const statuses = [];
  for (let i = 0; i < 4; i++) statuses.push((await vmm.ask('GET', '/version')).status);
  expect(statuses).toEqual([200, 500, 500, 200]);
  await writeFaults(join(vmm.directory, 'none'), []); // of another program: nothing changes here
});

test('a rule for requests counts all of them', async () => {
  const vmm = await startFaulty({ on: 'request', do: 'exit', code: 9, skip: 2 });
  await vmm.must('GET', '/');
  await vmm.must('GET', '/version');
  await expect(vmm.ask('GET', '/')).rejects.toThrow();
  expect(await vmm.exited).toEqual({ code: 9, signal: null });
});

test('a VMM dies before or after what it was asked for is done', async () => {
  const before = await startFaulty({ on: 'PUT /logger', do: 'signal', signal: 11 });
  await expect(before.ask('PUT', '/logger', { log_path: 'log' })).rejects.toThrow();
  expect(await before.exited).toEqual({ code: null, signal: 'SIGSEGV' });
  await expect(stat(join(before.directory, 'log'))).rejects.toThrow('ENOENT');
  const after = await startFaulty({ on: 'PUT /logger', do: 'exit-after', code: 3 });
  await expect(after.ask('PUT', '/logger', { log_path: 'log' })).rejects.toThrow();
  expect(await after.exited).toEqual({ code: 3, signal: null });
  await stat(join(after.directory, 'log'));
});

test('a VMM that hangs answers nobody, and can be killed', async () => {
  const vmm = await startFaulty({ on: 'GET /version', do: 'hang' });
  const asked = vmm.ask('GET', '/version').catch(() => 'cut off');
  await vmm.kill();
  expect(await asked).toBe('cut off');
});

test('a VMM that is to die at its start never has a socket', async () => {
  await expect(startFaulty({ on: 'start', do: 'exit', code: 4 })).rejects.toThrow('"code":4');
});

test('a disk that fills up in a dump is told as such, and the VM goes on', async () => {
  const vmm = await faultyVm({ on: 'dump', do: 'disk-full' });
  await clientOf(vmm);
  await pause(vmm);
  const create = { snapshot_path: 's', mem_file_path: 'm' };
  const refused = await vmm.ask('PUT', '/snapshot/create', create);
  expect(refused.status).toBe(400);
  expect(refused.body).toContain('No space left on device (os error 28)');
  await vmm.must('PUT', '/snapshot/create', create);
});

test('a VMM crashes while its guest runs', async () => {
  const directory = await newFolder();
  await stageFiles(directory);
  const program = await faultyFirecracker(await newFolder(), [{ on: 'guest-up', do: 'signal', signal: 11 }]);
  const vmm = await startVmm(directory, program);
  await boot(vmm);
  expect(await vmm.exited).toEqual({ code: null, signal: 'SIGSEGV' });
});

test('a guest panics, floods its console, or has a silent agent', async () => {
  const panicking = await faultyVm({ on: 'guest-up', do: 'panic', message: 'as asked' });
  await panicking.exited;
  expect(panicking.output).toContain('Kernel panic - not syncing: as asked');
  const flooding = await faultyVm({ on: 'guest-up', do: 'console-flood', bytes: 3 << 20 });
  await clientOf(flooding);
  expect(flooding.output.length).toBeGreaterThan(3 << 20);
  const silent = await faultyVm({ on: 'guest-up', do: 'silent-agent' });
  const dialled = dialGuest(join(silent.directory, 'v.sock'), 1024);
  await silent.must('GET', '/');
  await silent.kill();
  expect(await dialled).toBe('');
});

test('rules that are none are refused', async () => {
  const program = await faultyFirecracker(await newFolder(), [{ on: 'start', do: 'explode' as 'exit' }]);
  await expect(startVmm(await newFolder(), program)).rejects.toThrow('unknown variant `explode`');
  expect(await readFile(`${program}.faults.json`, 'utf8')).toContain('explode');
});
