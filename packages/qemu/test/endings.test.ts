import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { useSharedRuntime } from '@microvm/conformance';
import { endGuest, outputOf } from '@microvm/conformance/linux-guest';
import { watchProcess, type ProcessWatch } from '@microvm/native';
import { isVmRuntimeError, type VmRuntime } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { qemuFactory } from './factory.js';

async function watchVmm(runtime: VmRuntime, vmId: string): Promise<ProcessWatch> {
  const vmm = (await runtime.getVm(vmId))?.vmm;
  if (vmm === undefined) throw new Error(`"${vmId}" has no VMM`);
  return watchProcess(vmm);
}

describe('the end of a VM', () => {
  const shared = useSharedRuntime(qemuFactory);

  it.each([
    ['power-off', 'stopped', { reason: 'power-off' }],
    ['reboot', 'stopped', { reason: 'reboot' }],
    ['panic', 'crashed', { reason: 'panic' }],
    ['kill-vmm', 'crashed', { reason: 'vmm-exit', exitCode: null, signal: 'SIGKILL' }],
  ] as const)('is told when it is %s', async (how, state, ending) => {
    const { vmId } = await shared.restore({ onGuestReboot: 'stop' });
    const vmm = await watchVmm(shared.runtime, vmId);
    await endGuest(shared.runtime, vmId, how);
    await expect.poll(async () => (await shared.runtime.getVm(vmId))?.state).toBe(state);
    expect((await shared.runtime.getVm(vmId))?.ending).toMatchObject(ending);
    await expect.poll(() => vmm.kill(0)).toBe(false);
  });

  it('shows the last words of a guest that panicked', async () => {
    const { vmId } = await shared.restore();
    await endGuest(shared.runtime, vmId, 'panic');
    await expect
      .poll(async () => (await shared.runtime.getVm(vmId))?.ending?.lastLogLines.join('\n'))
      .toContain('Kernel panic - not syncing: sysrq triggered crash');
  });

  it('is a time-out, then a destroy by force, for a QEMU whose monitor hangs', async () => {
    const { vmId } = await shared.restore({ shutdownTimeoutMs: 300 });
    const vmm = await watchVmm(shared.runtime, vmId);
    vmm.kill('SIGSTOP');
    const error = await shared.runtime.pauseVm(vmId, { timeoutMs: 500 }).catch((thrown: unknown) => thrown);
    expect(isVmRuntimeError(error, 'MICROVM_TIMEOUT')).toBe(true);
    expect((await shared.runtime.getVm(vmId))?.state).toBe('running');
    const stopped = await shared.runtime.stopVm(vmId);
    expect(stopped).toMatchObject({ state: 'stopped', stop: 'forced', ending: { reason: 'killed' } });
    expect(vmm.kill(0)).toBe(false);
  });

  it('is forced for a guest that does not answer to a shutdown', async () => {
    const { vmId, guest } = await shared.restore({ shutdownTimeoutMs: 500 });
    // The agent is process 1, which only the kernel could stop: its words are held back by a workload that
    // hears no signal.
    await outputOf(guest, 'trap "" TERM; (trap "" TERM; while :; do sleep 1; done) > /dev/null 2>&1 &');
    const stopped = await shared.runtime.stopVm(vmId);
    expect(stopped.state).toBe('stopped');
    expect(['shutdown', 'killed']).toContain(stopped.ending?.reason);
  });

  it('leaves nothing of a VM that was destroyed', async () => {
    const { vmId } = await shared.restore();
    const vmm = await watchVmm(shared.runtime, vmId);
    const { instanceId } = await shared.runtime.destroyVm(vmId);
    expect(vmm.kill(0)).toBe(false);
    expect(await readdir(join(shared.stateDir, 'vms', instanceId))).toEqual(['vm.json']);
  });
});
