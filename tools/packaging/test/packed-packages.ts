import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const runFile = promisify(execFile);

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly scripts?: Readonly<Record<string, string>>;
}

export interface PublicPackage extends Manifest {
  readonly folder: string;
}

export function publicPackages(): readonly PublicPackage[] {
  const folders = ['native', ...readdirSync(join(ROOT, 'packages')).map((name) => join('packages', name))];
  return folders
    .map((folder) => join(ROOT, folder))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => {
      const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
      return { ...manifest, folder };
    })
    .filter((manifest) => manifest.private !== true);
}

/** Runs a program at low priority: this goes on beside the other tests. */
async function run(file: string, args: readonly string[], cwd: string, env = process.env): Promise<string> {
  const { stdout } = await runFile('nice', ['-n', '10', file, ...args], {
    cwd,
    env,
    maxBuffer: 64 << 20,
  });
  return stdout;
}

/** Makes what is published beside the sources, and packs every public package; the paths of the tarballs. */
export async function packAll(folder: string): Promise<readonly string[]> {
  for (const made of ['native', join('packages', 'default-image')])
    await run('npm', ['run', '--silent', 'package'], join(ROOT, made));
  const packages = publicPackages().map((manifest) => manifest.folder);
  const options = ['--json', '--ignore-scripts', '--pack-destination', folder];
  const packed = JSON.parse(await run('npm', ['pack', ...options, ...packages], ROOT)) as {
    filename: string;
  }[];
  if (packed.length !== packages.length) throw new Error(`npm packed ${String(packed.length)} packages`);
  return packed.map(({ filename }) => join(folder, filename));
}

/** What runs and makes a VM, by the package that a user installs for it. */
const VM_PROGRAMS = ['qemu-system-x86_64', 'mkfs.ext4', 'resize2fs', 'e2fsck'];

/** A PATH with node and what VMs need, and nothing that compiles or fetches packages. */
function poorPath(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  // npm runs its own tools by a shell.
  symlinkSync('/bin/sh', join(bin, 'sh'));
  const places = (process.env['PATH'] ?? '').split(':').concat('/usr/sbin', '/sbin');
  for (const program of VM_PROGRAMS) {
    const place = places.find((at) => existsSync(join(at, program)));
    if (place !== undefined) symlinkSync(join(place, program), join(bin, program));
  }
  return bin;
}

export interface Consumer {
  readonly folder: string;
  /** Runs a module in the project; its output. */
  runModule(code: string, node?: string): Promise<string>;
}

/** An empty project with the tarballs installed: no compiler, no install scripts. */
export async function installInto(folder: string, tarballs: readonly string[]): Promise<Consumer> {
  const npm = join(dirname(process.execPath), 'npm');
  const env = { ...process.env, PATH: poorPath(folder), npm_config_cache: process.env['npm_config_cache'] };
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await runFile(process.execPath, [npm, 'install', ...options, ...tarballs], {
    cwd: project,
    env,
    maxBuffer: 64 << 20,
  });
  const runModule = async (code: string, node = process.execPath): Promise<string> => {
    const { stdout } = await runFile(node, ['--input-type=module', '-e', code], {
      cwd: project,
      env: { PATH: env.PATH, HOME: folder },
    });
    return stdout;
  };
  return { folder: project, runModule };
}

/**
 * Other Nodes of this host's kind from the registry: the paths of their binaries by their major versions. npm
 * keeps the downloads in its cache.
 */
export async function fetchNodes(
  majors: readonly number[],
  folder: string,
): Promise<ReadonlyMap<number, string>> {
  const project = join(folder, 'nodes');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true }));
  const alias = (major: number): string => `node-${String(major)}`;
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--no-save'];
  const specs = majors.map((major) => `${alias(major)}@npm:node-linux-${process.arch}@${String(major)}`);
  await run('npm', ['install', ...options, ...specs], project);
  return new Map(majors.map((major) => [major, join(project, 'node_modules', alias(major), 'bin/node')]));
}
