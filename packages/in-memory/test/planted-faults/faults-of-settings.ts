import type { ExecRequest, VmView } from '@microvm/runtime';
import { creating, inRuntime, isRestore, type PlantedFault } from './faulty-runtime.js';

const ENVIRONMENT = 'the environment of a VM';
const SECRETS = 'secrets';

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
  inRuntime(
    'a secret is kept in the record',
    [SECRETS, 'are in no file, event, error, job, argument or environment of the host'],
    (good) => ({
      async setSecret(vmId, name, value, options) {
        await good.setEnv(vmId, { LEAK: JSON.stringify(value) });
        return good.setSecret(vmId, name, value, options);
      },
    }),
  ),
  inRuntime(
    'an error tells of a secret',
    [SECRETS, 'with a wrong name or value, or too many, are refused, without a word of the value'],
    (good) => ({
      setSecret: (vmId, name, value, options) =>
        good.setSecret(vmId, name, value, options).catch((error: Error) => {
          error.message += JSON.stringify(value);
          throw error;
        }),
    }),
  ),
  inRuntime(
    'a VM starts without its secrets',
    [SECRETS, 'of a VM that is stopped are missing, and a start needs them again'],
    (good) => ({
      startVm: (vmId, options) => good.startVm(vmId, { ...options, secretsOptional: true }),
    }),
  ),
  inRuntime(
    'a snapshot takes secrets along',
    [SECRETS, 'keep a snapshot with memory from being taken, unless they are allowed in it'],
    (good) => ({
      snapshotVm: (vmId, snapshotId, options) =>
        good.snapshotVm(vmId, snapshotId, { ...options, allowSecrets: true }),
    }),
  ),
  inRuntime(
    'a restored guest keeps the secrets of its snapshot',
    [SECRETS, 'of a snapshot are not inherited'],
    (good) =>
      creating((vmId, spec, options) =>
        good.createVmWithSpec(vmId, isRestore(spec) ? { ...spec, inheritSecrets: true } : spec, options),
      ),
  ),
  inRuntime(
    'a deleted secret stays in the guest',
    [SECRETS, 'are replaced, and gone with deleteSecret'],
    (good) => ({
      async deleteSecret(vmId) {
        return (await good.getVm(vmId)) as VmView;
      },
    }),
  ),
];
