import { describe, expect, it } from 'vitest';
import { tscKhzFrom } from '../src/host/tsc.js';
import { kernelArgs } from '../src/process/kernel-args.js';

const emulated = { accelerator: 'tcg', tscKhz: 2_596_098 } as const;

describe('kernelArgs', () => {
  it('tells an emulated guest the frequency of its counter, and to trust it', () => {
    expect(kernelArgs({ spec: {}, ...emulated })).toMatch(
      /^tsc_early_khz=2596098 tsc=reliable console=ttyS0 /,
    );
  });

  it('tells it nothing under KVM, or when the frequency is unknown', () => {
    expect(kernelArgs({ spec: {}, accelerator: 'kvm', tscKhz: 1 })).not.toContain('tsc');
    expect(kernelArgs({ spec: {}, accelerator: 'tcg', tscKhz: undefined })).not.toContain('tsc');
  });

  it('appends to the default, and replaces all of it but the facts of the clock', () => {
    const appended = kernelArgs({ spec: { bootArgs: { append: 'quiet' } }, ...emulated });
    expect(appended).toMatch(/console=ttyS0 .* quiet$/);
    const replaced = kernelArgs({ spec: { bootArgs: { replace: 'console=ttyS0' } }, ...emulated });
    expect(replaced).toBe('tsc_early_khz=2596098 tsc=reliable console=ttyS0');
  });

  it('leaves what the caller names', () => {
    const named = kernelArgs({ spec: { bootArgs: { replace: 'tsc_early_khz=5' } }, ...emulated });
    expect(named).toBe('tsc=reliable tsc_early_khz=5');
    const doubted = kernelArgs({ spec: { bootArgs: { replace: 'quiet tsc=unstable' } }, ...emulated });
    expect(doubted).toBe('tsc_early_khz=2596098 quiet tsc=unstable');
  });

  it('names the root disk where no initramfs does', () => {
    const rootDrive = { path: '/d' };
    expect(kernelArgs({ spec: { rootDrive }, ...emulated })).toMatch(/ root=\/dev\/vda rw$/);
    const shared = { ...rootDrive, mode: 'shared' as const };
    expect(kernelArgs({ spec: { rootDrive: shared }, ...emulated })).toMatch(/ root=\/dev\/vda ro$/);
    expect(kernelArgs({ spec: { rootDrive, initrdPath: '/i' }, ...emulated })).not.toContain('root=');
  });
});

describe('tscKhzFrom', () => {
  const nothing = { cpuinfo: '', hasFrequencyScaling: false, baseFrequencyKhz: undefined, kernelLog: '' };
  const cpuinfo = 'model name\t: Some CPU @ 2.60GHz\ncpu MHz\t\t: 1200.500\n';

  it.each([
    [
      'the kernel’s refined measurement first',
      {
        kernelLog:
          '6,3;tsc: Detected 2600.000 MHz processor\n6,9;tsc: Refined TSC clocksource calibration: 2596.098 MHz\n',
        cpuinfo,
      },
      2_596_098,
    ],
    [
      'the kernel’s first measurement',
      { kernelLog: '6,3;tsc: Detected 2445.426 MHz processor\n', cpuinfo },
      2_445_426,
    ],
    ['the processor’s frequency where it is constant', { cpuinfo }, 1_200_500],
    [
      'the base frequency where it is scaled',
      { cpuinfo, hasFrequencyScaling: true, baseFrequencyKhz: '2500000\n' },
      2_500_000,
    ],
    ['the name of the model at last', { cpuinfo, hasFrequencyScaling: true }, 2_600_000],
    ['nothing when nothing tells', {}, undefined],
  ])('takes %s', (_what, sources, expected) => {
    expect(tscKhzFrom({ ...nothing, ...sources })).toBe(expected);
  });
});
