import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type CaptureTarget,
  type HostCalls,
  type RestoreSource,
  type SnapshotPart,
  VmRuntimeError,
} from '@microvm/runtime';
import type { DiskContents } from './disks.js';
import type { MemoryImage, MemoryVm } from './memory-vm.js';

/** What a snapshot holds; without `memory` its disks only. */
export interface SnapshotImage {
  readonly disks: DiskContents;
  readonly memory: MemoryImage | undefined;
}

const DISKS = 'disks.json';
const MEMORY = 'memory.json';
const CONSOLE = 'console.log';

const DISKS_PART: SnapshotPart = { name: DISKS, role: 'disk' };
const MEMORY_PART: SnapshotPart = { name: MEMORY, role: 'memory' };

type DurableWrites = Pick<HostCalls, 'writeDurable'>;

/** Undefined where there is no such file. */
async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * The part of a VM that outlives the process: its disks and its console, in the VM's folder. Without a folder
 * nothing is written.
 */
export class VmFiles {
  readonly #hostCalls: DurableWrites | undefined;
  readonly #saving = new WeakMap<MemoryVm, Promise<void>>();

  constructor(hostCalls: DurableWrites | undefined) {
    this.#hostCalls = hostCalls;
  }

  /** Undefined when no guest has written to the disks yet: they hold what the spec's images hold. */
  async readDisks(directory: string): Promise<DiskContents | undefined> {
    const path = join(directory, DISKS);
    const data = await readIfThere(path);
    if (data === undefined) return undefined;
    try {
      return JSON.parse(data.toString('utf8')) as DiskContents;
    } catch (cause) {
      const problem = (cause as Error).message;
      throw new VmRuntimeError('MICROVM_STATE_CORRUPT', `read disks ${path}: ${problem}`, {
        details: { path, problem },
        cause,
      });
    }
  }

  /** Fills the console of a VM of an earlier process. */
  async loadConsole(vm: MemoryVm, directory: string): Promise<void> {
    vm.console.append((await readIfThere(join(directory, CONSOLE))) ?? '');
    vm.savedConsole = vm.console.endOffset;
  }

  /** Writes what has changed. When it resolves the disks survive a power cut. */
  async save(vm: MemoryVm, directory: string | undefined): Promise<void> {
    if (directory === undefined) return;
    // Writes are in order for each VM, because two writers of one console would mix its lines up.
    const before = this.#saving.get(vm) ?? Promise.resolve();
    const saving = before
      .catch(() => undefined) // its own caller has that error
      .then(async () => {
        await this.#saveDisks(vm, directory);
        await this.#saveConsole(vm, directory);
      });
    this.#saving.set(vm, saving);
    await saving;
  }

  async #saveDisks(vm: MemoryVm, directory: string): Promise<void> {
    const { version, contents } = vm.disks;
    if (version === vm.savedDisks) return;
    await this.#write(join(directory, DISKS), contents);
    vm.savedDisks = version;
  }

  async #saveConsole(vm: MemoryVm, directory: string): Promise<void> {
    const { console, savedConsole, spec } = vm;
    const { startOffset, endOffset } = console;
    if (endOffset === savedConsole) return;
    vm.savedConsole = endOffset;
    const path = join(directory, CONSOLE);
    const isBounded = startOffset === 0 && endOffset <= spec.consoleLimitBytes;
    if (isBounded) await appendFile(path, console.from(savedConsole), { mode: 0o600 });
    else await this.#durable().writeDurable(path, console.from(startOffset));
  }

  async #write(path: string, value: object): Promise<void> {
    await this.#durable().writeDurable(path, JSON.stringify(value));
  }

  #durable(): DurableWrites {
    if (this.#hostCalls === undefined)
      throw new Error('a VM has a folder, but the driver was made without a host');
    return this.#hostCalls;
  }

  /** Writes a snapshot's files into its folder. */
  async writeSnapshot(directory: string, image: SnapshotImage): Promise<void> {
    await this.#write(join(directory, DISKS), image.disks);
    if (image.memory !== undefined) await this.#write(join(directory, MEMORY), image.memory);
  }

  /** Errors: SNAPSHOT_CORRUPT. */
  async readSnapshot(source: RestoreSource, directory: string): Promise<SnapshotImage> {
    const disks = (await readPart(source, directory, DISKS)) as DiskContents;
    const memory = source.memory ? ((await readPart(source, directory, MEMORY)) as MemoryImage) : undefined;
    return { disks, memory };
  }
}

async function readPart(source: RestoreSource, directory: string, part: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(directory, part), 'utf8')) as unknown;
  } catch (cause) {
    const { snapshotUid } = source;
    const problem = (cause as Error).message;
    throw new VmRuntimeError(
      'MICROVM_SNAPSHOT_CORRUPT',
      `read snapshot ${snapshotUid}, ${part}: ${problem}`,
      {
        details: { snapshotUid, part, problem },
        cause,
      },
    );
  }
}

/** What a snapshot of this kind consists of. */
export function snapshotParts(target: Pick<CaptureTarget, 'memory'>): readonly SnapshotPart[] {
  return target.memory ? [MEMORY_PART, DISKS_PART] : [DISKS_PART];
}
