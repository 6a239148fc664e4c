import { AgentClient, ScriptedAgent, type ScriptedCommand, type ScriptedServer } from '@microvm/guest';
import {
  MIB,
  untilAborted,
  VmRuntimeError,
  type ConnectTarget,
  type DriverVm,
  type Guest,
  type GuestMetrics,
  type ImageConfig,
  type NamedVm,
  type ResolvedVmSpec,
} from '@microvm/runtime';
import { accountOf, environmentOf } from './accounts.js';
import { GuestHandle, KERNEL_RELEASE, untilGoing, type GuestSurroundings } from './guest-handle.js';
import { GuestNetwork } from './guest-network.js';
import { checkOwner } from './secret-files.js';
import type { CommandEnd, GuestScript, ScriptedGuest } from './guest-script.js';
import type { MemoryVm } from '../driver/memory-vm.js';
import { ROOT_DRIVE } from '../driver/disks.js';
import { loadPrograms, type ProgramTable } from '../programs/registry.js';
import { serveFiles } from '../files/file-worker.js';
import type { FileSystem } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { runCommand } from '../process/run-command.js';
import { createPausablePair } from './pausable-pair.js';
import type { VmFiles } from '../driver/vm-files.js';

export interface GuestSessionsParts {
  readonly guest: GuestScript;
  readonly surroundings: GuestSurroundings;
  readonly files: VmFiles;
}

function unreachable({ vmId }: NamedVm, reason: string): VmRuntimeError {
  return new VmRuntimeError('MICROVM_GUEST_UNREACHABLE', `reach the guest of "${vmId}": ${reason}`, {
    details: { vmId, reason },
  });
}

function metricsOf({ vcpuCount, memSizeMib }: ResolvedVmSpec): Pick<GuestMetrics, 'cpu' | 'memory'> {
  const bytes = memSizeMib * MIB;
  const swap = { swapTotalBytes: 0, swapFreeBytes: 0 };
  return {
    cpu: { count: vcpuCount, userUs: 0, systemUs: 0, idleUs: 0 },
    memory: { totalBytes: bytes, freeBytes: bytes, availableBytes: bytes, ...swap },
  };
}

/** The agents of those guests that somebody talks to: made on demand, gone with the guest's life. */
export class GuestSessions {
  readonly #parts: GuestSessionsParts;
  readonly #sessions = new Map<MemoryVm, Session>();

  constructor(parts: GuestSessionsParts) {
    this.#parts = parts;
  }

  /** Errors: GUEST_UNREACHABLE. */
  async open(vm: MemoryVm | undefined, of: DriverVm): Promise<Guest & Pick<AgentClient, 'configure'>> {
    const programs = await loadPrograms();
    if (vm?.condition !== 'running') throw unreachable(of, 'its guest does not run');
    if (vm.spec.agent === 'none') throw unreachable(of, 'it has no agent');
    let session = this.#sessions.get(vm);
    if (session === undefined) {
      session = new Session(vm, of.directory, { ...this.#parts, programs });
      this.#sessions.set(vm, session);
    }
    return session.connect(of);
  }

  close(vm: MemoryVm): void {
    this.#sessions.get(vm)?.end();
    this.#sessions.delete(vm);
  }

  closeAll(): void {
    for (const vm of [...this.#sessions.keys()]) this.close(vm);
  }
}

interface SessionParts extends GuestSessionsParts {
  readonly programs: ProgramTable;
}

/** The agent in one life of a guest, and the host's connection to it. */
class Session {
  readonly #vm: MemoryVm;
  readonly #directory: string | undefined;
  readonly #parts: SessionParts;
  readonly #guest: ScriptedGuest;
  readonly #agent: ScriptedAgent;
  /** The guest is gone, and all its commands with it. */
  readonly #gone = new AbortController();
  #client: Promise<AgentClient> | undefined;

  constructor(vm: MemoryVm, directory: string | undefined, parts: SessionParts) {
    this.#vm = vm;
    this.#directory = directory;
    this.#parts = parts;
    const scripted = (target: ConnectTarget) => parts.guest.serverAt?.(target, this.#guest);
    const toHost = (target: ConnectTarget, serve: ScriptedServer) => this.#agent.dial(target, serve);
    const network = new GuestNetwork(scripted, toHost);
    this.#guest = new GuestHandle(vm, parts.surroundings, network);
    const handlers = {
      checkOwner: (owner: string) => checkOwner(vm, owner),
      exec: (command: ScriptedCommand) => this.#exec(command),
      files: (worker: ScriptedCommand) => this.#serveFiles(worker),
      serverAt: (target: ConnectTarget) => network.serverAt(target),
      metrics: () => ({ ...metricsOf(vm.spec), ...parts.guest.metrics?.(this.#guest) }),
    };
    this.#agent = new ScriptedAgent(handlers, {
      epoch: vm.epoch,
      kernelRelease: KERNEL_RELEASE,
      settings: vm.settings,
    });
  }

  connect(of: NamedVm): Promise<AgentClient> {
    this.#client ??= this.#dial(of);
    return this.#client;
  }

  end(): void {
    this.#gone.abort('SIGKILL');
    this.#agent.close();
  }

  async #dial(of: NamedVm): Promise<AgentClient> {
    const [host, guest] = createPausablePair(this.#vm);
    this.#agent.serve(guest);
    try {
      const client = await AgentClient.connect(host, {
        vm: of,
        signal: this.#gone.signal,
        thrownBy: (failure) => this.#agent.thrownBy(failure),
      });
      void client.closed.then(() => (this.#client = undefined));
      return client;
    } catch (error) {
      this.#client = undefined;
      throw this.#gone.signal.aborted ? unreachable(of, 'its guest ended') : error;
    }
  }

  async #exec(command: ScriptedCommand): Promise<CommandEnd> {
    const signal = AbortSignal.any([command.signal, this.#gone.signal]);
    const ended = await untilAborted(this.#run(command, signal), signal).then(
      (end) => ({ end }),
      (error: unknown) => ({ error }),
    );
    // What a command wrote is on the disk when its end is told, as after a sync.
    const saving = this.#gone.signal.aborted ? undefined : this.#parts.files.save(this.#vm, this.#directory);
    if ('end' in ended) {
      await saving;
      return ended.end;
    }
    await saving?.catch(() => undefined);
    throw ended.error;
  }

  /** One file worker: a process of the agent, as its user. */
  async #serveFiles(command: ScriptedCommand): Promise<CommandEnd> {
    const vm = this.#vm;
    const signal = AbortSignal.any([command.signal, this.#gone.signal]);
    const files = this.#rootFiles();
    const serving = serveFiles({
      command,
      files: files.as(accountOf(files, command.user)),
      save: () => this.#parts.files.save(vm, this.#directory),
      breathe: async () => {
        signal.throwIfAborted();
        if (vm.condition === 'paused') await untilGoing(vm, signal);
      },
    });
    return untilAborted(serving, signal);
  }

  #rootFiles(): FileSystem {
    const files = this.#vm.disks.files(ROOT_DRIVE, this.#vm.spec);
    if (files === undefined) throw new Error('a VM without a root disk');
    return files;
  }

  async #run(command: ScriptedCommand, signal: AbortSignal): Promise<CommandEnd> {
    const vm = this.#vm;
    const files = this.#rootFiles();
    const account = accountOf(files, command.user);
    makeWorkingDir(files, command.cwd, vm.settings.image);
    return runCommand({
      guest: this.#guest,
      script: this.#parts.guest,
      programs: this.#parts.programs,
      files,
      command: { ...command, env: environmentOf(command, account) },
      account,
      signal,
      untilGoing: () => (vm.condition === 'paused' ? untilGoing(vm, signal) : undefined),
    });
  }
}

/** As the agent does: the image's own folder is made where it is absent, and none that a command asks for. */
function makeWorkingDir(files: FileSystem, cwd: string, image: ImageConfig | undefined): void {
  if (cwd !== image?.workingDir || files.find(cwd) !== undefined) return;
  try {
    files.mkdirAll(cwd, 0o755);
  } catch (error) {
    // The start fails for the folder that is not there.
    if (!(error instanceof DiskError)) throw error;
  }
}
