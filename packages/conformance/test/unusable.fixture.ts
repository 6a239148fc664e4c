// Not a test of its own: `unusable-host.test.ts` runs it.
import { VmRuntimeError, type HostReport, type VmRuntime } from '@microvm/runtime';
import { describeProvider } from '../src/index.js';

const report: HostReport = {
  driver: 'nothing',
  usable: false,
  accelerator: 'none',
  findings: [
    { code: 'no-vmm', severity: 'error', message: 'there is no VMM' },
    { code: 'no-swap', severity: 'info', message: 'there is no swap' },
  ],
};

const probing = {
  probe: () => Promise.resolve(report),
  close: () => Promise.resolve(),
} as unknown as VmRuntime;
const endGuest = (): Promise<void> => Promise.reject(new Error('there is no guest'));

describeProvider('by its probe', { open: () => Promise.resolve(probing), endGuest });
describeProvider('by its refusal', {
  open: () =>
    Promise.reject(
      new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', 'this host has no VMM', {
        details: { findings: ['no-vmm'] },
      }),
    ),
  endGuest,
});
