import { createServer, isIP, type AddressInfo, type Server, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Duplex } from 'node:stream';
import { invalidArgument, VmRuntimeError } from '@microvm/runtime';
import type { ConnectTarget, ForwardOptions, PortForward } from '@microvm/runtime';
import { parseTarget } from './connect-target.js';

const MAX_CONNECTIONS = 128;
const MAX_FORWARDS = 64;

type Connect = (target: ConnectTarget) => Promise<Duplex>;

/** The listeners on the host for one guest. They end with it: nobody is there to connect to any more. */
export class Forwards {
  readonly #connect: Connect;
  readonly #open = new Set<PortForward>();
  #opening = 0;
  #lost: (() => Error) | undefined;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  /** See `Guest.forward`. */
  async open(options: ForwardOptions): Promise<PortForward> {
    this.#check();
    if (this.#open.size + this.#opening >= MAX_FORWARDS) throw tooMany();
    this.#opening += 1;
    try {
      const forward = await forwardPort(this.#connect, options, () => this.#open.delete(forward));
      this.#open.add(forward);
      this.#check();
      return forward;
    } finally {
      this.#opening -= 1;
    }
  }

  /** The guest may go while a listener is being opened. */
  #check(): void {
    if (this.#lost === undefined) return;
    this.#closeAll();
    throw this.#lost();
  }

  #closeAll(): void {
    for (const forward of this.#open) void forward.close();
  }

  /** Closes all of them; whoever asks for another one gets this error. */
  close(lost: () => Error): void {
    this.#lost = lost;
    this.#closeAll();
  }
}

/** Listens on the host and hands each connection on. */
async function forwardPort(
  connect: Connect,
  options: ForwardOptions,
  onClose: () => void,
): Promise<PortForward> {
  const given: Partial<ForwardOptions> = typeof options === 'object' && options !== null ? options : {};
  const { guestPort, guestPath, guestHost, hostPort = 0, host = '127.0.0.1' } = given;
  if ((guestPort === undefined) === (guestPath === undefined))
    throw invalidArgument('options', 'one of guestPort and guestPath');
  if (typeof host !== 'string' || (isIP(host) === 0 && host !== 'localhost'))
    throw invalidArgument('host', 'an IP address of the host, or localhost');
  const target = parseTarget(
    guestPath === undefined
      ? { port: guestPort, ...(guestHost === undefined ? {} : { host: guestHost }) }
      : { path: guestPath },
  );
  if (!Number.isInteger(hostPort) || hostPort < 0 || hostPort > 0xffff)
    throw invalidArgument('hostPort', 'a whole number from 0 to 65535');
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    void relay(socket, connect(target));
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, host, hostPort);
  const { address, port } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= new Promise((resolve) => {
      onClose();
      server.close(() => resolve());
      for (const socket of sockets) socket.resetAndDestroy();
    });
    return closing;
  };
  return { host: address, port, close, [Symbol.asyncDispose]: close };
}

/** Both directions have their own end. What fails on one side is a reset on the other. */
async function relay(socket: Socket, connecting: Promise<Duplex>): Promise<void> {
  let guest: Duplex | undefined;
  try {
    guest = await connecting;
    if (socket.destroyed) throw new Error('the caller has gone');
    await Promise.all([pipeline(socket, guest), pipeline(guest, socket)]);
  } catch {
    // Each side learns of the other's failure by a reset: there is nobody else to be told.
    guest?.destroy();
    socket.resetAndDestroy();
  }
}

function tooMany(): VmRuntimeError {
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `forward: ${MAX_FORWARDS} ports are forwarded already`, {
    details: { operation: 'forward', errno: 'EMFILE' },
    remedy: 'close the forwards that nobody uses any more',
  });
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const message = `forward: listen on ${host}:${port}: ${cause.message}`;
      const errno = cause.code === undefined ? {} : { errno: cause.code };
      reject(
        new VmRuntimeError('MICROVM_HOST_FAILURE', message, {
          details: { operation: 'forward', ...errno },
          cause,
        }),
      );
    });
    server.listen({ host, port }, resolve);
  });
}
