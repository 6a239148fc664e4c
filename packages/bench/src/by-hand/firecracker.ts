import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { readMounts } from '@microvm/driver-kit';
import type { ResolvedVmSpec } from '@microvm/runtime';
import { summarize } from '../statistics.js';

const run = promisify(execFile);
const SOURCE = fileURLToPath(new URL('../../floor/firecracker.c', import.meta.url));
// Beside those that runtimes claim blocks of.
const FIRST_UID = 1_000_000_000;
/** One per process: what another one left behind, or still has, is not ours. */
const CGROUP_PARENT = `microvm-bench-${process.pid}`;

/** Milliseconds that each phase of a VM's life took: the median of the VMs that lived at once. */
export type PhaseTimes = ReadonlyMap<string, number>;

export interface FloorOptions {
  /** An empty folder, on the file system of the snapshots. */
  readonly folder: string;
  readonly firecrackerPath: string;
  readonly jailerPath: string;
  readonly spec: ResolvedVmSpec;
  /** How large the records are that it writes. */
  readonly recordBytes: number;
}

/** A snapshot's files as the floor links them. */
export interface FloorSnapshot {
  readonly vmstate: string;
  readonly memory: string;
  readonly disk: string;
}

interface FloorParts {
  readonly program: string;
  readonly stateDir: string;
  readonly options: readonly string[];
  readonly boot: readonly string[];
  readonly cgroupFolder: string | undefined;
}

/**
 * A bare client of Firecracker in C, compiled here: jails, calls and durable writes as our runtime makes
 * them, with nothing around. Each run is a process of its own; its start is not counted.
 */
export class FirecrackerFloor {
  readonly #program: string;
  readonly #stateDir: string;
  readonly #options: readonly string[];
  readonly #boot: readonly string[];
  readonly #cgroupFolder: string | undefined;

  private constructor(parts: FloorParts) {
    this.#program = parts.program;
    this.#stateDir = parts.stateDir;
    this.#options = parts.options;
    this.#boot = parts.boot;
    this.#cgroupFolder = parts.cgroupFolder;
  }

  static async make(options: FloorOptions): Promise<FirecrackerFloor> {
    const { folder, firecrackerPath, jailerPath, spec, recordBytes } = options;
    const { kernelPath, initrdPath, rootDrive } = spec;
    if (kernelPath === undefined || initrdPath === undefined || rootDrive === undefined)
      throw new Error('the floor boots a kernel with an initrd and a root drive');
    const program = join(folder, 'floor');
    await run('cc', ['-O2', '-pthread', '-o', program, SOURCE]);
    // The jailer names a folder after it.
    const execFile = join(folder, 'firecracker');
    const files = { kernel: join(folder, 'kernel'), initrd: join(folder, 'initrd') };
    await copyFile(firecrackerPath, execFile);
    await copyFile(kernelPath, files.kernel);
    await copyFile(initrdPath, files.initrd);
    await Promise.all(Object.values(files).map((path) => chmod(path, 0o444)));
    const mount = await cgroupMount();
    const cgroups = mount === undefined ? [] : [`cgroup-mount=${mount}`, `cgroup-parent=${CGROUP_PARENT}`];
    const cgroupFolder = mount === undefined ? undefined : join(mount, CGROUP_PARENT);
    if (cgroupFolder !== undefined) await mkdir(cgroupFolder, { recursive: true });
    const programs = [`jailer=${jailerPath}`, `exec-file=${execFile}`];
    return new FirecrackerFloor({
      program,
      stateDir: join(folder, 'state'),
      options: [...programs, ...cgroups, `record-bytes=${recordBytes}`, `first-uid=${FIRST_UID}`],
      boot: [
        `kernel=${files.kernel}`,
        `initrd=${files.initrd}`,
        `disk=${rootDrive.path}`,
        ...configuration(spec),
      ],
      cgroupFolder,
    });
  }

  /** So many VMs at once from nothing to nothing, in phases. */
  boot(vms: number): Promise<PhaseTimes> {
    return this.#run(vms, this.#boot);
  }

  /** Creates them; says so; then destroys them. */
  create(vms: number, onCreated: () => void): Promise<PhaseTimes> {
    return this.#run(vms, [...this.#boot, 'created-only=1'], (phase) => {
      if (phase === 'create') onCreated();
    });
  }

  restore(vms: number, { vmstate, memory, disk }: FloorSnapshot): Promise<PhaseTimes> {
    return this.#run(vms, [`vmstate=${vmstate}`, `memory=${memory}`, `disk=${disk}`]);
  }

  /** Removes the folder of its cgroups, which is empty. */
  async close(): Promise<void> {
    if (this.#cgroupFolder !== undefined) await rmdir(this.#cgroupFolder);
  }

  async #run(
    vms: number,
    options: readonly string[],
    onPhase: (name: string) => void = () => undefined,
  ): Promise<PhaseTimes> {
    const stateDir = this.#stateDir;
    await mkdir(join(stateDir, 'vms'), { recursive: true });
    await mkdir(join(stateDir, 'jail', 'firecracker'), { recursive: true });
    const times = new Map<string, number>();
    try {
      const args = [...this.#options, ...options, `state-dir=${stateDir}`, `vms=${vms}`];
      const child = spawn(this.#program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(child, 'close');
      // A phase's line comes when all VMs are through it.
      for await (const line of createInterface(child.stdout)) {
        const [phase, tookMs] = readPhase(line);
        times.set(phase, tookMs);
        onPhase(phase);
      }
      const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
      if (code !== 0) throw new Error(`the floor ended with ${String(code ?? signal)}`);
      return times;
    } finally {
      await rm(stateDir, { recursive: true, force: true });
    }
  }
}

function readPhase(line: string): [string, number] {
  const [name = '', ...nanoseconds] = line.split(' ');
  return [name, summarize(nanoseconds.map((text) => Number(text) / 1e6)).median];
}

/** As our driver configures such a VM. */
function configuration(spec: ResolvedVmSpec): string[] {
  const { vcpuCount: vcpu_count, memSizeMib: mem_size_mib } = spec;
  const drive = { drive_id: 'root', path_on_host: 'disks/root', is_root_device: false, is_read_only: false };
  const boot = {
    kernel_image_path: 'kernel',
    initrd_path: 'initrd',
    boot_args: 'console=ttyS0 reboot=k panic=-1 quiet',
  };
  return [
    `put=/machine-config ${JSON.stringify({ vcpu_count, mem_size_mib })}`,
    `put=/boot-source ${JSON.stringify(boot)}`,
    `put=/drives/root ${JSON.stringify(drive)}`,
  ];
}

/** The driver gives each VM a cgroup where version 2 is mounted. */
async function cgroupMount(): Promise<string | undefined> {
  return (await readMounts()).find(({ type }) => type === 'cgroup2')?.point;
}
