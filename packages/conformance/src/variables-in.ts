import type { VmRuntime } from '@microvm/runtime';

/** Those of the named variables that a command of a running VM has. Child processes use it too: no vitest. */
export async function variablesIn(
  runtime: VmRuntime,
  vmId: string,
  names: readonly string[],
): Promise<Record<string, string>> {
  const guest = await runtime.guest(vmId);
  const { stdout } = await guest.exec({ argv: ['env'], input: '' }).result;
  const lines = stdout.toString().split('\n');
  const found = names.flatMap((name) => {
    const line = lines.find((one) => one.startsWith(`${name}=`));
    return line === undefined ? [] : [[name, line.slice(name.length + 1)]];
  });
  return Object.fromEntries(found) as Record<string, string>;
}

/** The values of those of the named secrets whose files a running VM has. */
export async function secretsIn(
  runtime: VmRuntime,
  vmId: string,
  names: readonly string[],
): Promise<Record<string, string>> {
  const guest = await runtime.guest(vmId);
  const read = names.map(async (name) => {
    const { exitCode, stdout } = await guest.exec({ argv: ['cat', `/run/secrets/${name}`], input: '' })
      .result;
    return exitCode === 0 ? [[name, stdout.toString()]] : [];
  });
  return Object.fromEntries((await Promise.all(read)).flat()) as Record<string, string>;
}
