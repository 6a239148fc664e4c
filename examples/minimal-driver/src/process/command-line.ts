/**
 * The VMM's API socket, in the VM's folder: the VMM works there, so that the folder's path may have any
 * length.
 */
export const API_SOCKET = 'api.sock';

/** Every VMM of this driver has it in its arguments, in front of the instance that it belongs to. */
export const NAME_PREFIX = 'microvm-minimal-';

export interface CommandLineInput {
  readonly instanceId: string;
  /** A snapshot's memory, with which the guest stands still; without, the VMM waits for a boot. */
  readonly load?: string | undefined;
}

export function commandLine(program: string, { instanceId, load }: CommandLineInput): string[] {
  const name = `${NAME_PREFIX}${instanceId}`;
  return [program, '--name', name, '--api', API_SOCKET, ...(load === undefined ? [] : ['--load', load])];
}

/** The instance that a command line belongs to, when it is one of ours. */
export function instanceIdOf(args: readonly string[]): string | undefined {
  const value = args[args.indexOf('--name') + 1];
  return value?.startsWith(NAME_PREFIX) === true ? value.slice(NAME_PREFIX.length) : undefined;
}
