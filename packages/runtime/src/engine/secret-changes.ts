import { invalidArgument, unsupported, withoutAgent } from '../contract/errors.js';
import { secretBytes, secretSizesProblem, type SecretsUpdate } from '../contract/secrets.js';
import type { EngineContext } from './engine-context.js';
import type { Vm } from './fleet.js';
import type { RecordPatch } from './record-patch.js';

/**
 * Refuses secrets that a VM cannot have, before any effect. Throws `MICROVM_UNSUPPORTED`,
 * `MICROVM_INVALID_ARGUMENT`.
 */
export function refuseSecrets({ capabilities, driver }: EngineContext, vm: Vm, changes: SecretsUpdate): void {
  const names = Object.keys(changes);
  if (names.length === 0) return;
  const { vmId, spec, secrets = [] } = vm.record;
  if (!capabilities.guestAgent) throw unsupported(`secrets by the driver "${driver.name}"`);
  if (spec.agent === 'none') throw withoutAgent(vmId);
  const kept = vm.told.secrets.sizes().filter(({ name }) => !names.includes(name));
  const given = Object.values(changes).flatMap((value) =>
    value === null ? [] : [secretBytes(value).length],
  );
  // A secret that is missing, or whose value nobody here knows, counts as one all the same.
  const others = secrets.filter((name) => !names.includes(name) && !kept.some((one) => one.name === name));
  const sizes = [...kept.map(({ bytes }) => bytes), ...given, ...others.map(() => 0)];
  const problem = secretSizesProblem(sizes);
  if (problem !== undefined)
    throw invalidArgument('secrets', `${problem}, together with those that are there`);
}

/** Takes secrets in, in memory; what the record then says of them. */
export function changeSecrets(vm: Vm, changes: SecretsUpdate): RecordPatch {
  const entries = Object.entries(changes);
  if (entries.length === 0) return {};
  for (const [name, value] of entries) {
    if (value === null) vm.told.secrets.withdraw(name);
    else vm.told.secrets.give(name, value);
  }
  const given = entries.flatMap(([name, value]) => (value === null ? [] : [name]));
  const names = (vm.record.secrets ?? []).filter((name) => changes[name] !== null);
  const secrets = [...new Set([...names, ...given])];
  return { secrets: secrets.length === 0 ? undefined : secrets };
}
