import { resolveVmSpec, type DriverVm, type Run, type VmSpec } from '@microvm/runtime';

/** A VM as the engine shows it to a driver. */
export function makeVm(spec: VmSpec = {}): DriverVm {
  return {
    instanceId: '0123456789abcdef0123456789abcdef',
    vmId: 'a',
    spec: resolveVmSpec(spec, { kernelPath: '/k' }),
    plan: {},
    directory: '/nowhere',
    vmm: undefined,
    settings: undefined,
  };
}

/** A run that writes down its steps; `onStep` may break it off. */
export function makeRun(onStep: (step: string) => void = () => {}): Run & { readonly steps: string[] } {
  const steps: string[] = [];
  return {
    steps,
    signal: new AbortController().signal,
    progress: () => {},
    step: async (name) => {
      steps.push(name);
      onStep(name);
    },
  };
}
