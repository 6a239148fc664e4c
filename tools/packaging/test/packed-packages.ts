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

/** Builds the binary as it is published, and packs every public package; the paths of the tarballs. */
export async function packAll(folder: string): Promise<readonly string[]> {
  await run('npm', ['run', '--silent', 'package'], join(ROOT, 'native'));
  const tarballs: string[] = [];
  for (const { folder: from } of publicPackages()) {
    const answer = await run(
      'npm',
      ['pack', '--json', '--ignore-scripts', '--pack-destination', folder],
      from,
    );
    const [packed] = JSON.parse(answer) as { filename: string }[];
    if (packed === undefined) throw new Error(`npm packed nothing of ${from}`);
    tarballs.push(join(folder, packed.filename));
  }
  return tarballs;
}

/** A PATH with node and nothing that compiles. */
function poorPath(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  // npm runs its own tools by a shell.
  symlinkSync('/bin/sh', join(bin, 'sh'));
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

/** Another Node of this host's kind from the registry: the path of its binary. npm keeps the download in its cache. */
export async function fetchNode(major: number, folder: string): Promise<string> {
  const project = join(folder, `node-${String(major)}`);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ private: true }));
  const name = `node-linux-${process.arch}`;
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--no-save'];
  await run('npm', ['install', ...options, `${name}@${String(major)}`], project);
  return join(project, 'node_modules', name, 'bin/node');
}
