import type { Guest, GuestFileHandle, GuestFiles, KeepAlive, Limits } from '@microvm/runtime';
import { VmRuntimeError, within } from '@microvm/runtime';
import { remainingMs } from './deadline.js';
import { LazyWatcher } from './lazy-watcher.js';
import { LazyReadable, LazyWritable } from './lazy-streams.js';

/** What answers a promise and nothing else: the streams and `open` are made below. */
type CallName = Exclude<keyof GuestFiles, 'createReadStream' | 'createWriteStream' | 'open' | 'watch'>;
const CALLS: Readonly<Record<CallName, true>> = {
  access: true,
  appendFile: true,
  chmod: true,
  chown: true,
  copyFile: true,
  copyIn: true,
  copyOut: true,
  lchown: true,
  link: true,
  lstat: true,
  lutimes: true,
  mkdir: true,
  mkdtemp: true,
  readFile: true,
  readdir: true,
  readlink: true,
  realpath: true,
  rename: true,
  rm: true,
  rmdir: true,
  stat: true,
  symlink: true,
  truncate: true,
  unlink: true,
  utimes: true,
  writeFile: true,
};

type HandleCall = Exclude<keyof GuestFileHandle, symbol>;
const HANDLE_CALLS: Readonly<Record<HandleCall, true>> = {
  chmod: true,
  chown: true,
  close: true,
  datasync: true,
  read: true,
  stat: true,
  sync: true,
  truncate: true,
  utimes: true,
  write: true,
};

type AnyCall = (...args: unknown[]) => Promise<unknown>;

interface VmFilesInit {
  guest(): Promise<Guest>;
  readonly alive: KeepAlive;
}

type CallOf = (call: string, args: readonly unknown[]) => Promise<unknown>;

/** An object of calls that hand on their arguments. */
function callsBy(names: readonly string[], call: CallOf): Record<string, AnyCall> {
  return Object.fromEntries(names.map((name) => [name, (...args: unknown[]) => call(name, args)]));
}

/** The files of a VM: each call looks the guest up, and keeps Node's event loop alive until it settles. */
export function createVmFiles(init: VmFilesInit): GuestFiles {
  const { alive } = init;
  const guest = () => init.guest();
  const call: CallOf = (name, args) => alive.during(ask({ guest, name, args }));
  const open = async (...args: unknown[]) => keepAlive((await call('open', args)) as GuestFileHandle, alive);
  const streams: Pick<GuestFiles, 'createReadStream' | 'createWriteStream'> = {
    createReadStream: (path, options) =>
      new LazyReadable(async () => (await guest()).files.createReadStream(path, options), alive, options),
    createWriteStream: (path, options) =>
      new LazyWritable(async () => (await guest()).files.createWriteStream(path, options), alive, options),
  };
  // SAFETY: `CALLS` has the name of each call, and each hands on its arguments and answers what the guest's
  // does.
  const watch = (...args: Parameters<GuestFiles['watch']>) =>
    new LazyWatcher(async () => (await guest()).files.watch(...args), alive);
  const calls: unknown = Object.assign(callsBy(Object.keys(CALLS), call), { open, watch }, streams);
  return calls as GuestFiles;
}

interface Asked extends Pick<VmFilesInit, 'guest'> {
  readonly name: string;
  readonly args: readonly unknown[];
}

/** The time limit is one for the whole call: the guest may be out of reach for longer than that. */
async function ask({ guest, name, args }: Asked): Promise<unknown> {
  const last = args.at(-1);
  const hasOptions = typeof last === 'object' && last !== null && !(last instanceof Uint8Array);
  const { signal, timeoutMs } = (hasOptions ? last : {}) as Limits;
  const startedAt = performance.now();
  const found = await within(guest(), { signal, timeoutMs }, () => {
    const message = `${name}: no end after ${timeoutMs ?? 0} ms`;
    throw new VmRuntimeError('MICROVM_TIMEOUT', message, {
      details: { operation: name, timeoutMs: timeoutMs ?? 0 },
    });
  });
  const left = timeoutMs === undefined ? args : [...args.slice(0, -1), withLess(last, timeoutMs, startedAt)];
  return callOf(found.files, name).apply(found.files, left as unknown[]);
}

function callOf(target: object, name: string): AnyCall {
  // SAFETY: the names are those of `CALLS` and `HANDLE_CALLS`, which the compiler compares with the types.
  return (target as Record<string, AnyCall>)[name] as AnyCall;
}

function withLess(options: unknown, timeoutMs: number, startedAt: number): unknown {
  return { ...(options as Limits), timeoutMs: remainingMs(timeoutMs, startedAt) };
}

function keepAlive(handle: GuestFileHandle, alive: KeepAlive): GuestFileHandle {
  const calls = callsBy(Object.keys(HANDLE_CALLS), (name, args) =>
    alive.during(callOf(handle, name).apply(handle, [...args])),
  );
  const disposal = { [Symbol.asyncDispose]: () => handle.close() };
  // SAFETY: `HANDLE_CALLS` has the name of each call, and each hands on its arguments.
  return Object.assign(calls, disposal) as unknown as GuestFileHandle;
}
