import { execFileSync } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LocalImages } from '../../src/images/local-images.js';
import { type ImageOptions, LayoutBuilder, tagged } from '../sources/layout-builder.js';
import { makeTempDir } from '../temp-dir.js';

export const call = { signal: new AbortController().signal };

/** Files of a layer, by path; a text is a file's content. */
export type Tree = Readonly<Record<string, string>>;

/** A layer: an archive of these files. */
export async function makeLayer(folder: string, tree: Tree): Promise<Buffer> {
  await mkdir(folder, { recursive: true });
  for (const [path, text] of Object.entries(tree)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  const fixed = ['--format=pax', '--sort=name', '--mtime=@1000000000', '--owner=0', '--group=0'];
  const options = ['--pax-option=delete=atime,delete=ctime', '--mode=u=rwX,go=rX'];
  return execFileSync('tar', ['-cf', '-', ...fixed, ...options, '-C', folder, '.'], { maxBuffer: 2 ** 28 });
}

/** An image store, and layouts to import from, in a folder of the running test's own. */
export class ImagesFixture {
  readonly root: string;
  readonly store: string;
  readonly images: LocalImages;
  #count = 0;

  private constructor(root: string) {
    this.root = root;
    this.store = join(root, 'store');
    this.images = new LocalImages(this.store);
  }

  static async create(): Promise<ImagesFixture> {
    return new ImagesFixture(await makeTempDir());
  }

  /** A new folder beside the store. */
  async folder(name: string): Promise<string> {
    const folder = join(this.root, name);
    await mkdir(folder);
    return folder;
  }

  /** A layout with one image of these layers; answers where it is, and its digest. */
  async layout(
    layers: readonly Tree[],
    options: Omit<ImageOptions, 'layers'> = {},
  ): Promise<{ source: string; digest: string; builder: LayoutBuilder }> {
    this.#count += 1;
    const folder = join(this.root, `layout-${this.#count}`);
    await mkdir(folder);
    const packed = [];
    for (const [index, tree] of layers.entries()) {
      packed.push(await makeLayer(join(this.root, `tree-${this.#count}-${index}`), tree));
    }
    const builder = new LayoutBuilder(folder);
    const manifest = await builder.image({ ...options, layers: packed });
    await builder.write([tagged(manifest, 'v1')]);
    return { source: `oci:${folder}`, digest: manifest.digest, builder };
  }

  /** A record of a VM, as the engine writes it into a state directory. */
  async record(stateDir: string, vmId: string, record: object): Promise<void> {
    const folder = join(stateDir, 'vms', `i-${vmId}`);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'vm.json'), JSON.stringify({ vmId, ...record }));
  }

  /** How many blobs, entries, templates and so on the store has. */
  async content(): Promise<Record<string, number>> {
    const folders = ['blobs/sha256', 'entries', 'template', 'names', 'work', 'holds'];
    const counts = folders.map(async (folder) => {
      const names = await readdir(join(this.store, folder));
      return [folder, names.length] as const;
    });
    return Object.fromEntries(await Promise.all(counts));
  }
}

export function readFromSquashfs(path: string, file: string): string {
  return execFileSync('unsquashfs', ['-cat', path, file], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}

/** A line for each name, as `ls -ln` writes it. */
export function listSquashfs(path: string): string[] {
  const text = execFileSync('unsquashfs', ['-lln', '-UTC', path], { encoding: 'utf8' });
  return text.split('\n').filter((line) => line.includes('squashfs-root'));
}
