import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ProgramFailed, type ProgramOptions, runProgram } from '../host/program.js';

/** One version of a Debian package. */
export interface AptPackage {
  readonly name: string;
  readonly version: string;
  readonly sizeBytes: number;
}

/** A package that no list has. */
export class PackageMissing extends Error {
  override readonly name = 'PackageMissing';
}

export interface AptOptions {
  /** Folder for apt's own files; the caller removes it. */
  readonly workDir: string;
  readonly signal?: AbortSignal | undefined;
  /** Added to apt's environment, such as `APT_CONFIG`. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

// A version that is installed on this host would be a candidate as well, even when no source has it to
// download.
const NOTHING_INSTALLED = ['-o', 'Dir::State::status=/dev/null'];

/**
 * apt as an ordinary user may use it: with the host's own sources, keys and proxies, and with the host's
 * package lists or, after `refreshLists`, with lists of our own. Nothing is installed.
 */
export class Apt {
  readonly #workDir: string;
  readonly #programOptions: ProgramOptions;
  #listOptions: readonly string[] = [];

  constructor({ workDir, signal, env }: AptOptions) {
    this.#workDir = workDir;
    this.#programOptions = { signal, env };
  }

  /** Names of all known packages that begin with `prefix`. */
  async packageNames(prefix: string): Promise<string[]> {
    const output = await this.#run('apt-cache', ['pkgnames', prefix]);
    return output.split('\n').filter(Boolean);
  }

  /** The candidate version of each package, in the order of the names. */
  async candidates(names: readonly string[]): Promise<AptPackage[]> {
    const output = await this.#run('apt-cache', ['show', '--no-all-versions', ...names]);
    const records = output.split('\n\n').map(parseControlFields);
    return names.map((name) => {
      const record = records.find((item) => item.get('Package') === name);
      const version = record?.get('Version');
      if (version === undefined) throw new PackageMissing(`no Debian package "${name}"`);
      return { name, version, sizeBytes: Number(record?.get('Size') ?? 0) };
    });
  }

  /**
   * Fetches packages into a folder; apt checks their digests against its signed lists. Returns the files.
   * `onPercent` gets 0 to 100.
   */
  async download(
    packages: readonly AptPackage[],
    into: string,
    onPercent: (percent: number) => void,
  ): Promise<string[]> {
    const exact = packages.map(({ name, version }) => `${name}=${version}`);
    await this.#run('apt-get', ['download', '-o', 'APT::Status-Fd=3', ...exact], {
      cwd: into,
      onStatusLine: (line) => {
        const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
        if (percent !== undefined) onPercent(Number(percent));
      },
    });
    const files = await readdir(into);
    return packages.map(({ name }) => {
      const file = files.find((item) => item.startsWith(`${name}_`) && item.endsWith('.deb'));
      if (file === undefined) throw new PackageMissing(`apt fetched "${name}", but there is no file of it`);
      return join(into, file);
    });
  }

  /**
   * Fetches packages with all that they depend on, as if nothing were installed; apt checks their digests.
   * Returns the files.
   */
  async downloadWithDependencies(names: readonly string[], into: string): Promise<string[]> {
    await mkdir(join(into, 'partial'), { recursive: true });
    const user = process.env['USER'] ?? 'root';
    await this.#run('apt-get', [
      ...[
        '-q',
        '-o',
        `Dir::Cache::archives=${into}`,
        '-o',
        'Debug::NoLocking=1',
        '-o',
        `APT::Sandbox::User=${user}`,
      ],
      ...['install', '--download-only', '-y', '--no-install-recommends', ...names],
    ]);
    const files = await readdir(into);
    return files.filter((name) => name.endsWith('.deb')).map((name) => join(into, name));
  }

  /**
   * The package that a metapackage stands for: the first that it depends on and whose name begins with
   * `prefix`.
   */
  async dependency(name: string, prefix: string): Promise<string> {
    const output = await this.#run('apt-cache', ['depends', name]);
    const found = output.split('\n').map((line) => /Depends: (\S+)/.exec(line)?.[1]);
    const dependency = found.find((each) => each?.startsWith(prefix));
    if (dependency === undefined)
      throw new PackageMissing(`no Debian package "${name}" that needs a ${prefix}*`);
    return dependency;
  }

  /**
   * Fetches package lists into folders of our own and uses them from now on. Returns what went wrong, which
   * need not matter: one source of several may be out of reach, or a hook of the host's configuration may
   * need root.
   */
  async refreshLists(): Promise<ProgramFailed | undefined> {
    const lists = join(this.#workDir, 'lists');
    const cache = join(this.#workDir, 'cache');
    await mkdir(join(lists, 'partial'), { recursive: true });
    await mkdir(join(cache, 'archives', 'partial'), { recursive: true });
    this.#listOptions = ['-o', `Dir::State::Lists=${lists}`, '-o', `Dir::Cache=${cache}`];
    try {
      await this.#run('apt-get', ['update', '-q']);
      return undefined;
    } catch (error) {
      if (error instanceof ProgramFailed) return error;
      throw error;
    }
  }

  async #run(program: string, args: readonly string[], options?: ProgramOptions): Promise<string> {
    const output = await runProgram(program, [...NOTHING_INSTALLED, ...this.#listOptions, ...args], {
      ...this.#programOptions,
      ...options,
    });
    return output.toString();
  }
}

/**
 * Tries with the host's package lists. When the lists are missing, or too old for what the mirrors have,
 * tries again with new lists of our own.
 */
export async function withPackageLists<T>(apt: Apt, refresh: boolean, attempt: () => Promise<T>): Promise<T> {
  if (!refresh) {
    try {
      return await attempt();
    } catch (error) {
      if (!isAboutPackages(error)) throw error;
    }
  }
  const refreshFailure = await apt.refreshLists();
  try {
    return await attempt();
  } catch (error) {
    // The reason why there are no lists says more than that a package is in none of them.
    throw isAboutPackages(error) && refreshFailure !== undefined ? refreshFailure : error;
  }
}

function isAboutPackages(error: unknown): boolean {
  return error instanceof ProgramFailed || error instanceof PackageMissing;
}

/** The one-line fields of a record as dpkg and apt print it. */
function parseControlFields(record: string): Map<string, string> {
  const fields = record.matchAll(/^([A-Za-z0-9-]+): (.*)$/gm);
  return new Map([...fields].map(([, name = '', value = '']) => [name, value]));
}
