import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FILE_SYSTEMS, formatImage, type FileSystem } from './file-systems.js';
import { VolatileDisk } from './volatile-disk.js';

/**
 * What of a boot of a host can be seen from a process: its processes, its mounts, an empty /run, and its boot
 * id, which the kernel makes anew for each boot. The shell is the host's first process, and so waits for
 * those that lost their parents. The second /proc is one that nothing is mounted upon: without one the kernel
 * lets no user namespace mount its own. The shell's own words about a script that was killed go nowhere.
 */
const BOOT = `
mount -t tmpfs tmpfs /run &&
mkdir /run/proc && mount -t proc proc /run/proc &&
cat /proc/sys/kernel/random/uuid > /run/boot-id &&
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id &&
exec 9>&2 2> /dev/null
(exec "$@" 2>&9 9>&-)
exit $?`;

/** Everything in these namespaces ends, and is unmounted, with their first process. */
const NAMESPACES = ['--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', '--mount-proc'];

/** A script that runs on a host of the lab. */
export interface LabModule {
  /** Absolute path. */
  readonly path: string;
  readonly execArgv?: readonly string[];
}

/**
 * Where hosts are booted whose power can be cut: each is one process with all that it starts, in process and
 * mount namespaces of its own and with a boot id of its own; their disks are `VolatileDisk`s. Everything
 * needs root.
 */
export const PowerLab = {
  /**
   * Why there can be none here, for people; undefined where there can. Rejects where this package was not
   * built.
   */
  async reason(): Promise<string | undefined> {
    if (process.geteuid?.() !== 0) return 'block devices and mounts of its own need root';
    VolatileDisk.checkBuilt();
    const folder = await mkdtemp(join(tmpdir(), 'microvm-lab-'));
    try {
      for (const fileSystem of Object.keys(FILE_SYSTEMS) as FileSystem[]) {
        const image = join(folder, fileSystem);
        await formatImage(fileSystem, image, 320);
        await using disk = await VolatileDisk.start(image);
        const device = await disk.powerOn();
        await promisify(execFile)('unshare', [
          ...NAMESPACES,
          'sh',
          '-c',
          BOOT,
          'sh',
          'mount',
          device,
          folder,
        ]);
      }
      return undefined;
    } catch (error) {
      return `cannot cut the power of a disk here: ${(error as Error).message.trim()}`;
    } finally {
      await rm(folder, { recursive: true });
    }
  },

  formatImage,

  startDisk: (image: string): Promise<VolatileDisk> => VolatileDisk.start(image),

  /** Options of mount(8) for a file system that was mounted before. */
  mountOptions: (fileSystem: FileSystem): readonly string[] => FILE_SYSTEMS[fileSystem].mount,

  /**
   * Boots a host that runs a script of Node's, with an IPC channel; descriptor 4 is a duplex pipe. The
   * process ends, with the script's exit code, when all processes of the host are gone and its file systems
   * are unmounted.
   */
  boot({ path, execArgv = [] }: LabModule, env: NodeJS.ProcessEnv = {}): ChildProcess {
    const command = [process.execPath, ...execArgv, path];
    return spawn('unshare', [...NAMESPACES, 'sh', '-c', BOOT, 'sh', ...command], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', 'pipe'],
      env: { ...process.env, ...env },
    });
  },
};
