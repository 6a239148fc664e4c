import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { listenUnix } from '../dist/index.js';

const REQUEST = /^CONNECT (\d+)\n/;

/** What a guest's service does with a connection, after Firecracker's answer. */
export type Service = (socket: Socket) => void;

/**
 * The host's side of Firecracker's vsock device, as a real server: while the guest is absent it takes
 * connections and says nothing, then it treats those it holds; a port on which nobody listens is closed
 * without a byte.
 */
export class VsockDevice {
  readonly #server: Server;
  readonly #held = new Set<Socket>();
  readonly #services = new Map<number, Service>();
  readonly #waiters: (() => void)[] = [];
  #isGuestUp = false;
  /** How many connections were asked for, and how many of them are open. */
  connections = 0;
  open = 0;

  readonly path: string;

  private constructor(path: string, descriptor: number) {
    this.path = path;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#take(socket));
    this.#server.listen({ fd: descriptor });
  }

  static async listen(path: string): Promise<VsockDevice> {
    const device = new VsockDevice(path, await listenUnix(path));
    onTestFinished(() => device.close());
    return device;
  }

  serve(port: number, service: Service): void {
    this.#services.set(port, service);
  }

  boot(): void {
    this.#isGuestUp = true;
    for (const socket of this.#held) this.#treat(socket);
    this.#held.clear();
  }

  /** The VMM lets go of those that nobody has answered. */
  drop(): void {
    for (const socket of this.#held) socket.destroy();
    this.#held.clear();
  }

  /** Resolves when that many connections were asked for. */
  async asked(count: number): Promise<void> {
    while (this.connections < count) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  close(): void {
    this.#server.close();
    this.drop();
    rmSync(this.path, { force: true });
  }

  #take(socket: Socket): void {
    this.connections += 1;
    this.open += 1;
    socket.once('close', () => (this.open -= 1));
    socket.on('error', () => undefined);
    if (this.#isGuestUp) {
      this.#treat(socket);
    } else {
      this.#held.add(socket);
    }
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #treat(socket: Socket): void {
    socket.once('readable', () => {
      const match = REQUEST.exec(String(socket.read()));
      const service = this.#services.get(Number(match?.[1]));
      if (match === null || service === undefined) socket.destroy();
      else service(socket);
    });
  }
}
