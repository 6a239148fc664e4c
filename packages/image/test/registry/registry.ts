import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../../src/host/program.js';
import { untilThere } from '../../src/images/store-lock.js';

const USER = 'tester';
const PASSWORD = 'a password of the test';

/** Debian's docker-registry on loopback, which wants a password. */
export class Registry {
  readonly name: string;
  readonly authFile: string;
  /** Where it keeps its blobs. */
  readonly data: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, { folder, port }: { folder: string; port: number }) {
    this.#child = child;
    this.name = `127.0.0.1:${port}`;
    this.authFile = join(folder, 'auth.json');
    this.data = join(folder, 'data');
  }

  static async start(folder: string): Promise<Registry> {
    const passwords = join(folder, 'htpasswd');
    await writeFile(passwords, await runProgram('htpasswd', ['-Bbn', USER, PASSWORD]));
    const config = {
      version: '0.1',
      log: { level: 'error' },
      storage: { filesystem: { rootdirectory: join(folder, 'data') } },
      http: { addr: '127.0.0.1:0', secret: 'of the test' },
      auth: { htpasswd: { realm: 'test', path: passwords } },
    };
    await writeFile(join(folder, 'config.yml'), JSON.stringify(config));
    const child = spawn('docker-registry', ['serve', join(folder, 'config.yml')], { stdio: 'ignore' });
    const port = await listeningPort(child);
    const registry = new Registry(child, { folder, port });
    const auth = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');
    await writeFile(registry.authFile, JSON.stringify({ auths: { [registry.name]: { auth } } }));
    return registry;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.kill();
    await once(this.#child, 'exit');
  }
}

/** It takes any free port, and does not say which. */
function listeningPort(child: ChildProcess): Promise<number> {
  return untilThere(async () => {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with exit code ${child.exitCode}`);
    const sockets = (await runProgram('ss', ['-Hltnp'])).toString().split('\n');
    const own = sockets.find((line) => line.includes(`pid=${child.pid},`));
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(own ?? '')?.[1] ?? 0);
    return port === 0 ? undefined : port;
  });
}
