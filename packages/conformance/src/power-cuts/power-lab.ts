import type { ChildProcess } from 'node:child_process';
import type { ChildModule } from '../factory.js';

/** The file systems that the suite cuts the power of. */
export const CUT_FILE_SYSTEMS = ['ext4', 'xfs'] as const;
export type CutFileSystem = (typeof CUT_FILE_SYSTEMS)[number];

/**
 * What a disk has, after a cut, of the writes since its last flush: none, all, about half of them, about half
 * of the sectors of each.
 */
export type Survival = 'none' | 'all' | 'writes' | 'sectors';

/** What a cut met: sectors of writes since the last flush, and how many of them the disk has nevertheless. */
export interface CutCounts {
  readonly sectors: number;
  readonly survivingSectors: number;
}

/** A disk with a volatile write cache, whose power can be cut. */
export interface CuttableDisk extends AsyncDisposable {
  /** Resolves with the path of a block device that has what is on the disk. */
  powerOn(): Promise<string>;
  /** The next flush cuts the power. */
  cutAtFlush(survival: Survival, seed: number): Promise<void>;
  /** Cuts it now, unless a flush has. */
  cut(survival: Survival, seed: number): Promise<CutCounts>;
}

/**
 * Hosts and disks whose power can be cut: what the suite needs of whoever has them. @microvm/volatile-disk is
 * one.
 */
export interface PowerLab {
  /** Why there can be none here; undefined where there can. */
  reason(): Promise<string | undefined>;
  formatImage(fileSystem: CutFileSystem, path: string, sizeMib: number): Promise<void>;
  startDisk(image: string): Promise<CuttableDisk>;
  /** Options of mount(8). */
  mountOptions(fileSystem: CutFileSystem): readonly string[];
  /**
   * Boots a host with a boot id of its own, which runs the module with an IPC channel and a duplex pipe at
   * descriptor 4. The process ends when nothing of the host is left.
   */
  boot(module: ChildModule, env?: NodeJS.ProcessEnv): ChildProcess;
}
