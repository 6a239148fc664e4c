import { chmod, cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { runProgram } from '../../src/host/program.js';
import { allGuestModules, writeKernelTree } from './kernel-tree.js';

/** A real apt repository in a folder, with a configuration of apt that knows no other source. */
export class DebianRepository {
  readonly #folder: string;
  readonly #records: string[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(folder: string): Promise<DebianRepository> {
    const repository = new DebianRepository(folder);
    await mkdir(join(folder, 'lists', 'partial'), { recursive: true });
    await writeFile(join(folder, 'sources.list'), `deb [trusted=yes] file:${folder} ./\n`);
    await writeFile(
      join(folder, 'apt.conf'),
      [
        `Dir::Etc::SourceList "${folder}/sources.list";`,
        'Dir::Etc::SourceParts "/nonexistent";',
        // The host's own package lists, as far as apt is concerned; empty until `updateHostLists`.
        `Dir::State::Lists "${folder}/lists";`,
        '',
      ].join('\n'),
    );
    await repository.#writeIndex();
    return repository;
  }

  /** Another repository with the same packages. */
  async copyTo(folder: string): Promise<DebianRepository> {
    const copy = await DebianRepository.create(folder);
    await cp(this.#folder, folder, {
      recursive: true,
      filter: (path) => path === this.#folder || path.endsWith('.deb'),
    });
    copy.#records.push(...this.#records);
    await copy.#writeIndex();
    return copy;
  }

  get env(): Record<string, string> {
    return { APT_CONFIG: join(this.#folder, 'apt.conf') };
  }

  /** What `apt-get update` by the host's administrator would do. */
  async updateHostLists(): Promise<void> {
    await runProgram('apt-get', ['update', '-q'], { env: this.env });
  }

  /** Adds a kernel package; its `vmlinuz` is the text. */
  async addKernel(release: string, version: string, vmlinuz: string): Promise<void> {
    const root = join(this.#folder, 'build', release);
    await writeKernelTree(join(root, 'lib', 'modules', release), allGuestModules());
    await put(join(root, 'boot', `vmlinuz-${release}`), vmlinuz);
    await this.#add(root, `linux-image-${release}`, version);
  }

  /** Adds busybox: a script that knows the one option that is used of it on the host. */
  async addBusybox(version: string): Promise<void> {
    const root = join(this.#folder, 'build', 'busybox');
    await put(join(root, 'bin', 'busybox'), `#!/bin/sh\necho bin/sh\necho usr/bin/wc\n# ${version}\n`);
    await chmod(join(root, 'bin', 'busybox'), 0o755);
    await this.#add(root, 'busybox-static', version);
  }

  /** Adds lz4, whose program is never run: these kernels are no bzImages. */
  async addLz4(version: string): Promise<void> {
    const root = join(this.#folder, 'build', 'lz4');
    await put(join(root, 'usr', 'bin', 'lz4'), '#!/bin/sh\nexit 1\n');
    await this.#add(root, 'lz4', version);
  }

  async #add(root: string, name: string, version: string): Promise<void> {
    const control = [
      `Package: ${name}`,
      `Version: ${version}`,
      'Architecture: amd64',
      'Maintainer: nobody <nobody@example.org>',
      'Description: for a test',
    ].join('\n');
    await put(join(root, 'DEBIAN', 'control'), `${control}\n`);
    await put(join(root, 'usr', 'share', 'doc', name, 'copyright'), `the licence of ${name}\n`);
    // As in Debian's own archive, the file's name is without the epoch.
    const fileName = `${name}_${version.replace(/^\d+:/, '')}_amd64.deb`;
    const deb = join(this.#folder, fileName);
    await runProgram('dpkg-deb', ['--build', '-Znone', '--root-owner-group', root, deb]);
    const sha256 = createHash('sha256')
      .update(await readFile(deb))
      .digest('hex');
    const { size } = await stat(deb);
    this.#records.push(`${control}\nFilename: ./${fileName}\nSize: ${size}\nSHA256: ${sha256}\n`);
    await this.#writeIndex();
  }

  async #writeIndex(): Promise<void> {
    await writeFile(join(this.#folder, 'Packages'), this.#records.join('\n'));
  }
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
