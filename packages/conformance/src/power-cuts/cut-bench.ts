import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildModule } from '../factory.js';
import type { CutCase } from './cut-cases.js';
import { Hosts, type HowToCut } from './hosts.js';
import type { CutFileSystem, PowerLab } from './power-lab.js';
import type { DriveTask, Prepared, PrepareTask } from './tasks.js';

/** Room for the golden snapshot and a few VMs; XFS takes no less than 300. */
const IMAGE_MIB = 1024;
/** Little enough that its data is written out by nothing but the fsync of each copy. */
const DRIVE_BYTES = 1 << 18;

interface Image extends Prepared {
  readonly path: string;
}

/** How the power goes in a case. */
export interface CutFate extends HowToCut {
  /** Of the host whose power is cut. */
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Where the power is cut: a folder with an image of each file system, which all cuts begin with, and the
 * hosts.
 */
export class CutBench implements AsyncDisposable {
  readonly #lab: PowerLab;
  readonly #hosts: Hosts;
  readonly #folder: string;
  readonly #drive: DriveTask;
  #sectors = 0;
  #lostSectors = 0;
  readonly #images = new Map<CutFileSystem, Image>();

  private constructor(lab: PowerLab, hosts: Hosts, folder: string, drive: DriveTask) {
    this.#lab = lab;
    this.#hosts = hosts;
    this.#folder = folder;
    this.#drive = drive;
  }

  static async make({ lab, childModule }: { lab: PowerLab; childModule: ChildModule }): Promise<CutBench> {
    const folder = await mkdtemp(join(tmpdir(), 'microvm-cuts-'));
    await mkdir(join(folder, 'mount'));
    const content = randomBytes(DRIVE_BYTES);
    const path = join(folder, 'drive');
    await writeFile(path, content);
    const sha256 = createHash('sha256').update(content).digest('hex');
    return new CutBench(lab, new Hosts(lab, childModule), folder, { path, sha256 });
  }

  get #mountPoint(): string {
    return join(this.#folder, 'mount');
  }

  /**
   * Makes the image that cuts on this file system begin with; runs the scenarios once upon it, to find their
   * steps.
   */
  async prepare(fileSystem: CutFileSystem, scenarios: readonly string[] = []): Promise<Prepared> {
    const path = join(this.#folder, fileSystem);
    await this.#lab.formatImage(fileSystem, path, IMAGE_MIB);
    const mount = { device: path, options: ['-o', 'loop'], folder: this.#mountPoint };
    const task: PrepareTask = { kind: 'prepare', mount, drive: this.#drive, scenarios };
    const { prepared } = await this.#hosts.boot().run(task);
    if (prepared === undefined) throw new Error('the host prepared nothing');
    this.#images.set(fileSystem, { ...prepared, path });
    return prepared;
  }

  /** Cuts the power there, boots again and looks; rejects with what is wrong then. */
  async survives({ fileSystem, scenario, step, nth, pauseMs }: CutCase, fate: CutFate): Promise<void> {
    const image = this.#images.get(fileSystem);
    if (image === undefined) throw new Error(`no image of ${fileSystem}`);
    await using disk = await this.#lab.startDisk(image.path);
    const mounted = async () => ({
      device: await disk.powerOn(),
      options: this.#lab.mountOptions(fileSystem),
      folder: this.#mountPoint,
    });
    const { golden, files } = image;
    const common = { drive: this.#drive, scenario: scenario.title, vmId: 'cut', golden, step };
    const host = fate.env === undefined ? this.#hosts.take() : this.#hosts.boot(fate.env);
    const counts = await host.cut(
      { ...common, kind: 'act', nth, pauseMs, mount: await mounted() },
      disk,
      fate,
    );
    this.#sectors += counts.sectors;
    this.#lostSectors += counts.sectors - counts.survivingSectors;
    await this.#hosts.take().run({ ...common, kind: 'look', files, mount: await mounted() });
  }

  /** What all cuts so far have met, for people. */
  get losses(): string {
    return `${this.#lostSectors} of ${this.#sectors} sectors on their way to the disk were lost`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hosts.dispose();
    await rm(this.#folder, { recursive: true });
  }
}
