import type { Duplex } from 'node:stream';
import type {
  ExecChunk,
  ExecProcess,
  ExecRequest,
  ConnectTarget,
  Guest,
  GuestFiles,
  GuestListener,
  VmRuntime,
} from '@microvm/runtime';
import { inRuntime, type PlantedFault } from './faulty-runtime.js';

const CONNECTIONS = 'connections to the guest';
const FORWARDS = 'forwarded ports';
const LISTENERS = 'listeners in the guest';
const GUEST = 'the guest';

/** The runtime whose guests have some calls of their own. */
function withGuest(good: VmRuntime, calls: (guest: Guest) => Partial<Guest>): Pick<VmRuntime, 'guest'> {
  return {
    async guest(vmId) {
      const guest = await good.guest(vmId);
      return {
        files: guest.files,
        ping: (options) => guest.ping(options),
        metrics: (options) => guest.metrics(options),
        exec: guest.exec.bind(guest),
        attach: (id, options) => guest.attach(id, options),
        kill: (id, signal) => guest.kill(id, signal),
        commands: (options) => guest.commands(options),
        connect: (target, options) => guest.connect(target, options),
        forward: (options) => guest.forward(options),
        listen: (target, options) => guest.listen(target, options),
        ...calls(guest),
      };
    },
  };
}

function withClose(listener: GuestListener, close: () => Promise<void>): GuestListener {
  return {
    target: listener.target,
    close,
    [Symbol.asyncDispose]: close,
    [Symbol.asyncIterator]: () => listener[Symbol.asyncIterator](),
  };
}

/** Gives the first connection, and resets those that wait behind it. */
async function listenEagerly(guest: Guest, target: ConnectTarget): Promise<GuestListener> {
  const listener = await guest.listen(target);
  async function* first(): AsyncGenerator<Duplex, void, undefined> {
    let isFirst = true;
    for await (const socket of listener) {
      if (isFirst) yield socket;
      else socket.destroy();
      isFirst = false;
    }
  }
  const connections = first();
  return { ...withClose(listener, () => listener.close()), [Symbol.asyncIterator]: () => connections };
}

const FILES = "the guest's files";

/** A guest whose files have some calls of their own. */
function withFiles(
  good: VmRuntime,
  calls: (files: GuestFiles) => Partial<GuestFiles>,
): Pick<VmRuntime, 'guest'> {
  return withGuest(good, ({ files }) => {
    const own: Partial<Record<PropertyKey, unknown>> = calls(files);
    const get = (target: GuestFiles, name: keyof GuestFiles): unknown =>
      own[name] ?? target[name].bind(target);
    // SAFETY: all that is looked up in it are the calls.
    return { files: new Proxy(files, { get: (target, name) => get(target, name as keyof GuestFiles) }) };
  });
}

/** Reads with these deviations. */
function withReader(guest: Guest, change: (chunk: ExecChunk) => readonly ExecChunk[]): Partial<Guest> {
  const exec = (request: ExecRequest): ExecProcess => {
    const process = guest.exec(request);
    async function* read(): AsyncGenerator<ExecChunk> {
      for await (const chunk of process) yield* change(chunk);
    }
    return new Proxy(process, {
      get: (target, key) => {
        if (key === Symbol.asyncIterator) return read;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  // SAFETY: a detached command is started by the same call, and its handle is handed on as it is.
  return {
    exec: ((request: ExecRequest) =>
      'detached' in request ? guest.exec(request) : exec(request)) as Guest['exec'],
  };
}

const COMMANDS = 'commands that outlive their reader';
const SNAPSHOT = 'a snapshot in the midst of a large output loses nothing, and nothing comes twice';

/** Deviations in what the guest's agent does for its callers. */
export const FAULTS_OF_GUESTS: readonly PlantedFault[] = [
  inRuntime('output at one offset is given as that of the next', [COMMANDS, SNAPSHOT], (good) =>
    withGuest(good, (guest) => withReader(guest, (chunk) => [{ ...chunk, offset: chunk.offset + 1 }])),
  ),
  inRuntime('a piece of output comes twice', [COMMANDS, SNAPSHOT], (good) => {
    let count = 0;
    return withGuest(good, (guest) =>
      withReader(guest, (chunk) => ((count += 1) === 100 ? [chunk, chunk] : [chunk])),
    );
  }),
  inRuntime(
    'what the guest could not keep is not told',
    [COMMANDS, 'output beyond what the guest keeps is told as missing'],
    (good) =>
      withGuest(good, (guest) => ({
        attach(id, options) {
          const process = guest.attach(id, options);
          const result = process.result.then((ended) => ({
            ...ended,
            missingBytes: { stdout: 0, stderr: 0 },
          }));
          return new Proxy(process, {
            get: (target, key) => (key === 'result' ? result : (Reflect.get(target, key, target) as unknown)),
          });
        },
      })),
  ),
  inRuntime(
    'a guest has more memory available than it has',
    [GUEST, 'it tells memory, load, processors and processes of its guest'],
    (good) =>
      withGuest(good, (guest) => ({
        async metrics(options) {
          const { memory, ...others } = await guest.metrics(options);
          return { ...others, memory: { ...memory, availableBytes: memory.totalBytes + 1 } };
        },
      })),
  ),
  inRuntime(
    'a connection is over when the guest sends no more',
    [CONNECTIONS, 'the guest may end what it sends before the host does'],
    (good) =>
      withGuest(good, (guest) => ({
        async connect(target, options) {
          const socket = await guest.connect(target, options);
          return socket.once('end', () => socket.destroy());
        },
      })),
  ),
  inRuntime(
    'a connection that is refused has an error without a code',
    [CONNECTIONS, 'a port on which nobody listens, and a path that is not there, are refused by their errno'],
    (good) =>
      withGuest(good, (guest) => ({
        connect: (target, options) =>
          guest.connect(target, options).catch(() => {
            throw new Error('refused');
          }),
      })),
  ),
  inRuntime(
    'a listener resets what waits when it is asked to accept',
    [LISTENERS, 'connections wait until they are accepted'],
    (good) => withGuest(good, (guest) => ({ listen: (target) => listenEagerly(guest, target) })),
  ),
  inRuntime(
    'a closed listener keeps its place',
    [LISTENERS, 'a closed one is refused to programs, and what was accepted goes on'],
    (good) =>
      withGuest(good, (guest) => ({
        async listen(target) {
          const listener = await guest.listen(target);
          return withClose(listener, async () => undefined);
        },
      })),
  ),
  inRuntime(
    'a forwarded port is open to other hosts',
    [FORWARDS, 'one listens on 127.0.0.1, and says which port the kernel has chosen'],
    (good) =>
      withGuest(good, (guest) => ({
        forward: (options) => guest.forward({ ...options, host: '0.0.0.0' }),
      })),
  ),
  inRuntime(
    'a file that is replaced as a whole gets the mode of a new one',
    [FILES, 'an atomic write keeps the mode, and is whole'],
    (good) =>
      withFiles(good, (files) => ({
        async writeFile(path, data, options) {
          await files.writeFile(path, data, options);
          if (typeof options === 'object' && options.atomic === true) await files.chmod(path, 0o644);
        },
      })),
  ),
  inRuntime(
    'an error of the guest’s files does not say where a rename was to go',
    [FILES, 'what is not there, or not allowed, is refused with the shape of Node'],
    (good) =>
      withFiles(good, (files) => ({
        rename: (from, to, options) =>
          files.rename(from, to, options).catch((error: unknown) => {
            throw Object.assign(error as Error, { dest: undefined });
          }),
      })),
  ),
  inRuntime(
    'a tree that is copied out lacks its links',
    [FILES, 'a tree goes in, and comes out as it was'],
    (good) =>
      withFiles(good, (files) => ({
        copyOut: (from, to, options) =>
          files.copyOut(from, to, { ...options, filter: ({ type }) => type !== 'symlink' }),
      })),
  ),
];
