import type { ExecRequest } from '@microvm/runtime';
import { inRuntime, type PlantedFault } from './faulty-runtime.js';

const ENVIRONMENT = 'the environment of a VM';

/** Deviations in what the commands of a VM are given. */
export const FAULTS_OF_SETTINGS: readonly PlantedFault[] = [
  inRuntime(
    'setEnv replaces the environment',
    [ENVIRONMENT, 'is changed by name: null removes, the others stay'],
    (good) => ({
      async setEnv(vmId, env, options) {
        const { spec } = (await good.getVm(vmId)) ?? {};
        const others = Object.keys(spec?.env ?? {}).map((name) => [name, null] as const);
        return good.setEnv(vmId, { ...Object.fromEntries(others), ...env }, options);
      },
    }),
  ),
  inRuntime(
    'setEnv of a paused VM is forgotten',
    [ENVIRONMENT, 'that is changed while it is paused is there when it runs'],
    (good) => ({
      async resumeVm(vmId, options) {
        const { spec } = (await good.getVm(vmId)) ?? {};
        const others = Object.keys(spec?.env ?? {}).map((name) => [name, null] as const);
        await good.setEnv(vmId, Object.fromEntries(others));
        return good.resumeVm(vmId, options);
      },
    }),
  ),
  inRuntime(
    'the environment of a VM is over that of the command',
    [ENVIRONMENT, "is over the guest's defaults and under that of the command"],
    (good) => ({
      async guest(vmId) {
        const guest = await good.guest(vmId);
        const { spec } = (await good.getVm(vmId)) ?? {};
        const exec = (request: ExecRequest) =>
          guest.exec({ ...request, env: { ...request.env, ...spec?.env } });
        return new Proxy(guest, {
          get: (target, key) => (key === 'exec' ? exec : (Reflect.get(target, key) as unknown)),
        });
      },
    }),
  ),
];
