import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mode } from './modes.js';

/** The hostile agent as a process of its own: what it holds and burns is not ours. */
export class HostileAgent {
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
  }

  static async start(): Promise<HostileAgent> {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-hostile-'));
    const program = fileURLToPath(new URL('program.ts', import.meta.url));
    const execArgv = ['--conditions=@microvm/source', '--import', 'tsx'];
    const child = fork(program, [folder], { execArgv });
    await once(child, 'message');
    return new HostileAgent(child, folder);
  }

  /** A stream to an agent that behaves in this way. */
  async dial(mode: Mode): Promise<Socket> {
    const socket = connect(join(this.#folder, `${mode}.sock`));
    await once(socket, 'connect');
    return socket;
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
    await rm(this.#folder, { recursive: true });
  }
}
