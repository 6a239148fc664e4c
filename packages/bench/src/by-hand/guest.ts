import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const SOURCE = fileURLToPath(new URL('../../floor/guest.c', import.meta.url));
const run = promisify(execFile);

/** Programs of the floor under a guest's agent, compiled into a folder. */
export class GuestFloor implements AsyncDisposable {
  /** A static program that does nothing. */
  readonly noop: string;
  /** What `serve` starts, linked statically. */
  readonly program: string;
  readonly #folder: string;
  readonly #servers: ChildProcess[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
    this.noop = join(folder, 'noop');
    this.program = join(folder, 'floor-guest');
  }

  static async compile(folder: string): Promise<GuestFloor> {
    const floor = new GuestFloor(folder);
    const source = join(folder, 'noop.c');
    await writeFile(source, 'int main(void) { return 0; }\n');
    await run('cc', ['-O2', '-static', '-o', floor.noop, source]);
    await run('cc', ['-O2', '-static', '-o', floor.program, SOURCE]);
    return floor;
  }

  /** Starts a server, and answers the path of its socket. */
  async serve(mode: 'exec' | 'relay' | 'echo', argument?: string): Promise<string> {
    const path = join(this.#folder, `${mode}-${this.#servers.length}.sock`);
    const server = spawn(this.program, [mode, path, ...(argument === undefined ? [] : [argument])], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#servers.push(server);
    await once(server.stdout, 'data');
    return path;
  }

  async connect(path: string): Promise<Socket> {
    const socket = connect(path);
    await once(socket, 'connect');
    return socket;
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) server.kill('SIGKILL');
    return Promise.resolve();
  }
}

/** Has the exec server run its program so many times at once. */
export async function runAtOnce(socket: Socket, times: number): Promise<void> {
  let answers = 0;
  const answered = new Promise<void>((resolve) => {
    const count = (data: Buffer): void => {
      answers += data.length;
      if (answers < times) return;
      socket.off('data', count);
      resolve();
    };
    socket.on('data', count);
  });
  socket.write(Buffer.alloc(times, 'x'));
  await answered;
}
