import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

type Handler = (command: { execute: string; arguments: Record<string, unknown>; id: number }) => unknown;

const GREETING = {
  QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 }, package: '' }, capabilities: [] },
};

/**
 * A real unix socket that speaks QMP; what `handle` answers is the return value, undefined is no answer at
 * all.
 */
export class QmpServer {
  readonly path: string;
  readonly #folder: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(folder: string, path: string, server: Server) {
    this.#folder = folder;
    this.path = path;
    this.#server = server;
  }

  static async start(handle: Handler, greeting: string = JSON.stringify(GREETING)): Promise<QmpServer> {
    const folder = await mkdtemp(join(tmpdir(), 'qmp-'));
    const path = join(folder, 'qmp.sock');
    const server = createServer();
    const self = new QmpServer(folder, path, server);
    server.on('connection', (socket) => self.#serve(socket, handle, greeting));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return self;
  }

  send(text: string): void {
    for (const socket of this.#sockets) socket.write(text);
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.hangUp();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true });
  }

  #serve(socket: Socket, handle: Handler, greeting: string): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    if (greeting !== '') socket.write(`${greeting}\r\n`);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const command = JSON.parse(text.slice(0, end)) as Parameters<Handler>[0];
        text = text.slice(end + 1);
        const value = command.execute === 'qmp_capabilities' ? {} : handle(command);
        if (value === undefined) continue;
        const body =
          value instanceof Error
            ? { error: { class: 'GenericError', desc: value.message } }
            : { return: value };
        socket.write(`${JSON.stringify({ ...body, id: command.id })}\r\n`);
      }
    });
  }
}
