import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { agentBinaryPath } from '../src/agent-binary.js';

const NAMESPACES = [
  '--user',
  '--map-root-user',
  '--mount',
  '--pid',
  '--fork',
  '--ipc',
  '--net',
  '--uts',
  '--mount-proc',
];

/** Why the real agent cannot run here, or undefined. */
export function whyNoNamespaces(): string | undefined {
  const probe = spawnSync('unshare', [...NAMESPACES, 'true'], { encoding: 'utf8' });
  if (probe.status === 0) return undefined;
  return `user namespaces are not permitted: ${probe.error?.message ?? probe.stderr.trim()}`;
}

/** A cgroup v2 for one agent and its commands; undefined where there is none that this user may write to. */
export class AgentCgroup {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static make(): AgentCgroup | undefined {
    for (const root of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']) {
      const path = join(root, `microvm-agent-${process.pid}-${Math.random().toString(36).slice(2)}`);
      try {
        mkdirSync(path);
        accessSync(join(path, 'cgroup.procs'), constants.W_OK);
        accessSync(join(path, 'cgroup.events'), constants.R_OK);
        return new AgentCgroup(path);
      } catch {
        rmSync(path, { recursive: true, force: true }); // A folder that is no cgroup v2.
      }
    }
    return undefined;
  }

  /** The commands' own cgroups that are there now. */
  commands(): string[] {
    const workload = join(this.path, 'workload');
    return readdirSync(workload).filter((name) => statSync(join(workload, name)).isDirectory());
  }

  /** False as long as a process is left in it. */
  remove(): boolean {
    try {
      for (const name of this.commands()) rmdirSync(join(this.path, 'workload', name));
      rmdirSync(join(this.path, 'workload'));
      rmdirSync(this.path);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
      throw error;
    }
  }
}

/** The real agent in namespaces of its own, where it owns nothing of the host. */
export class RealAgent {
  readonly port: SerialPort;
  readonly exited: Promise<unknown>;
  /** Where its secrets lie, in mounts of its own. */
  readonly secretsFolder = mkdtempSync(join(tmpdir(), 'microvm-secrets-'));
  readonly #unsharePid: number;
  readonly #kill: () => void;

  /** `isRoot`: with the host's own user ids, for a test that runs as root and needs several of them. */
  constructor(
    cgroup?: AgentCgroup,
    {
      isRoot = false,
      hasSecrets = true,
      awaitMs,
    }: { readonly isRoot?: boolean; readonly hasSecrets?: boolean; readonly awaitMs?: number } = {},
  ) {
    const binary = process.env['MICROVM_TEST_AGENT'] ?? agentBinaryPath();
    const own = ['--fd', '3', ...(hasSecrets ? ['--secrets', this.secretsFolder] : [])];
    const options = [...own, ...(cgroup === undefined ? [] : ['--cgroup', cgroup.path])];
    if (awaitMs !== undefined) options.push('--await-ms', String(awaitMs));
    const namespaces = isRoot ? NAMESPACES.filter((name) => !/user/.test(name)) : NAMESPACES;
    const child = spawn('unshare', [...namespaces, '--kill-child', binary, ...options], {
      // A socket pair: the agent has one end as its descriptor 3.
      stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    });
    this.exited = once(child, 'exit');
    this.#unsharePid = child.pid ?? 0;
    this.#kill = () => child.kill('SIGKILL');
    // SAFETY: an extra 'pipe' is a socket in both directions.
    this.port = new SerialPort(child.stdio[3] as unknown as Duplex);
  }

  /** The agent itself, as the host sees it. */
  get pid(): number {
    return Number(readFileSync(`/proc/${this.#unsharePid}/task/${this.#unsharePid}/children`, 'utf8'));
  }

  async stop(): Promise<void> {
    this.#kill();
    await this.exited;
    rmdirSync(this.secretsFolder);
  }
}

/**
 * The real agent, also in namespaces of its own, that listens at one unix socket and dials another one as it
 * does over vsock.
 */
export class DiallingAgent {
  readonly exited: Promise<unknown>;
  readonly #kill: () => void;

  constructor(socketPath: string, dialPath: string) {
    const binary = process.env['MICROVM_TEST_AGENT'] ?? agentBinaryPath();
    const args = [...NAMESPACES, '--kill-child', binary, '--socket', socketPath, '--dial', dialPath];
    const child = spawn('unshare', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.exited = once(child, 'exit');
    this.#kill = () => child.kill('SIGKILL');
  }

  async stop(): Promise<void> {
    this.#kill();
    await this.exited;
  }
}

/**
 * A byte stream that behaves as a virtio-serial port: it outlives the host's connections, and what one of
 * them did not read is delivered to the next.
 */
export class SerialPort {
  readonly #wire: Duplex;
  #waiting: Buffer[] = [];
  #plugged: Duplex | undefined;
  #bytesFromGuest = 0;

  constructor(wire: Duplex) {
    this.#wire = wire;
    wire.on('data', (chunk: Buffer) => {
      this.#bytesFromGuest += chunk.length;
      if (this.#plugged === undefined) this.#waiting.push(chunk);
      else if (!this.#plugged.write(chunk)) this.#pauseWire(this.#plugged);
    });
    wire.on('end', () => this.#plugged?.end());
    // Ended: the other end of a pair in this process does not learn that its peer was destroyed.
    wire.on('error', () => this.#plugged?.end());
  }

  get bytesFromGuest(): number {
    return this.#bytesFromGuest;
  }

  /** The host's next connection; an earlier one is cut off at once, in the middle of whatever it did. */
  plug(): Duplex {
    this.unplug();
    const [host, inside] = duplexPair();
    this.#plugged = inside;
    inside.on('data', (chunk: Buffer) => {
      if (inside === this.#plugged) this.#wire.write(chunk);
    });
    inside.on('error', () => undefined);
    for (const chunk of this.#waiting.splice(0)) inside.write(chunk);
    return host;
  }

  unplug(): void {
    const inside = this.#plugged;
    this.#plugged = undefined;
    inside?.destroy();
    this.#wire.resume();
  }

  /** Bytes to the guest beside those of a connection. */
  inject(bytes: Buffer): void {
    this.#wire.write(bytes);
  }

  #pauseWire(inside: Duplex): void {
    this.#wire.pause();
    inside.once('drain', () => this.#wire.resume());
  }
}
