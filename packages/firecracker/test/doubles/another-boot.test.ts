import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { watchProcess } from '@microvm/native';
import { expect, it, onTestFinished } from 'vitest';
import { openDoubles } from './doubles.js';

// The console that a power cut leaves may end in an earlier life, as it is not durable: the record says
// running.
it.each([
  ['this boot of the host says how its guest ended', false, { state: 'stopped', reason: 'power-off' }],
  ['another boot of the host says nothing: the VM is lost', true, { state: 'crashed', reason: 'lost' }],
])('the console of a VMM of %s', async (_what, isOfAnotherBoot, { state, reason }) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'fc-boot-'));
  onTestFinished(() => rm(stateDir, { recursive: true, force: true }));
  const first = await openDoubles({ stateDir });
  await first.createVm('a');
  const { instanceId, vmm } = await first.startVm('a');
  await first.close();
  if (vmm === undefined) throw new Error('no VMM');
  const watch = watchProcess(vmm).ref();
  watch.kill('SIGKILL');
  await watch.exited;
  const folder = join(stateDir, 'vms', instanceId);
  await appendFile(join(folder, 'console.log'), 'microvm-agent: farewell power-off\n');
  const record = join(folder, 'vm.json');
  const text = await readFile(record, 'utf8');
  expect(text).toContain(vmm.bootId);
  if (isOfAnotherBoot) await writeFile(record, text.replaceAll(vmm.bootId, 'another-boot'));
  await using second = await openDoubles({ stateDir });
  expect(await second.getVm('a')).toMatchObject({ state, ending: { reason } });
  await second.destroyVm('a');
});
