import { ScriptedErrno, type ScriptedServer } from '@microvm/guest';
import { onAbort, type ConnectTarget } from '@microvm/runtime';
import { DiskError } from '../fs/inode.js';
import type { OpenFile } from '../process/open-file.js';
import { createPipe } from '../process/pipe.js';
import type { ScriptedConnection } from './guest-script.js';
import { Listeners } from './listeners.js';

/** Names by which a guest reaches itself. */
const OWN_HOSTS = new Set(['localhost', '127.0.0.1', '::1', '[::1]', '0.0.0.0', 'microvm']);

/** What listens in one life of a guest, and the connections that begin within it. */
export class GuestNetwork {
  readonly listeners: Listeners;
  readonly #scripted: (target: ConnectTarget) => ScriptedServer | undefined;

  /** `toHost`: connects to where the host listens in the guest; false when it does not. */
  constructor(
    scripted: (target: ConnectTarget) => ScriptedServer | undefined,
    toHost: (target: ConnectTarget, serve: ScriptedServer) => boolean,
  ) {
    this.#scripted = scripted;
    this.listeners = new Listeners(toHost);
  }

  /** Who takes a connection to this target. */
  serverAt(target: ConnectTarget): ScriptedServer | undefined {
    return this.#scripted(target) ?? this.listeners.serverAt(target);
  }

  /** A connection from within the guest. Rejects with a `ScriptedErrno` where nobody listens. */
  async dial(target: ConnectTarget, signal?: AbortSignal): Promise<ScriptedConnection> {
    signal?.throwIfAborted();
    const serve = this.serverAt(withoutOwnName(target));
    return serve === undefined ? this.listeners.dial(target, signal) : connectWithin(serve, target, signal);
  }
}

/** As the host names it: a port without a name of the guest itself. */
function withoutOwnName(target: ConnectTarget): ConnectTarget {
  return 'port' in target && OWN_HOSTS.has(target.host ?? '') ? { port: target.port } : target;
}

function connectWithin(
  serve: ScriptedServer,
  target: ConnectTarget,
  signal: AbortSignal | undefined,
): ScriptedConnection {
  const [toServer, fromClient] = createPipe();
  const [toClient, fromServer] = createPipe();
  const abort = new AbortController();
  const stop = onAbort(signal, () => abort.abort(signal?.reason));
  const ends = new Set<OpenFile>([toServer, fromClient, toClient, fromServer]);
  const release = (...files: OpenFile[]): void => {
    for (const file of files) if (ends.delete(file)) file.release();
  };
  let failure: { readonly error: unknown } | undefined;
  const write = (file: OpenFile) => async (data: string | Uint8Array) =>
    file.write(Buffer.from(data as string), abort.signal);
  const socket = {
    target,
    input: readAll(toServer, abort.signal),
    signal: abort.signal,
    write: write(fromServer),
  };
  void (async () => serve(socket))()
    .catch((error: unknown) => (failure = { error: error instanceof ScriptedErrno ? reset() : error }))
    .finally(() => {
      release(fromServer, toServer);
      stop();
    });
  return {
    target,
    signal: abort.signal,
    write: write(fromClient),
    input: (async function* () {
      yield* readAll(toClient, abort.signal);
      // An error of the server that is no reset is the script's own: whoever reads rejects with it.
      if (failure !== undefined) throw failure.error;
    })(),
    close: () => release(fromClient),
    reset: () => {
      abort.abort(reset());
      release(...ends);
    },
  };
}

function reset(): DiskError {
  return Object.assign(new DiskError('ECONNRESET', 'the other end has reset the connection'), {
    code: 'ECONNRESET',
  });
}

async function* readAll(file: OpenFile, signal: AbortSignal): AsyncGenerator<Buffer> {
  for (let data = await file.read({ signal }); data !== undefined; data = await file.read({ signal }))
    yield data;
}
