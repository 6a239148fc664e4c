import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { findProgram, run, StepFailed } from './run.mjs';

/** What the project needs, besides Node: Debian's package and the program or file of it that is looked for. */
export const REQUIREMENTS = [
  { package: 'g++', program: 'g++', purpose: 'compiles the native addon and the guest agent' },
  { package: 'cmake', program: 'cmake', purpose: 'builds them' },
  { package: 'ninja-build', program: 'ninja', purpose: 'builds them' },
  { package: 'clang', program: 'clang++', purpose: 'builds the fuzz targets' },
  { package: 'libssl-dev', file: '/usr/include/openssl/evp.h', purpose: 'its libcrypto goes into the addon' },
  { package: 'qemu-system-x86', program: 'qemu-system-x86_64', purpose: 'runs the VMs' },
  { package: 'e2fsprogs', program: 'mkfs.ext4', purpose: 'makes disks' },
  { package: 'xfsprogs', program: 'mkfs.xfs', purpose: 'makes a file system with reflinks in the tests' },
  { package: 'strace', program: 'strace', purpose: 'counts system calls in the tests' },
  { package: 'cpio', program: 'cpio', purpose: 'checks the initrd in the tests' },
];

/** Makes sure that the programs are there; returns a line that says so. */
export async function ensurePackages(requirements = REQUIREMENTS) {
  const missing = await missingRequirements({ requirements });
  if (missing.length === 0) return `all ${requirements.length} are there`;
  if (!isDebian()) throw new StepFailed(`install these programs:\n${describe(missing)}`);
  const names = missing.map((requirement) => requirement.package);
  if (process.getuid() !== 0)
    throw new StepFailed(`run this line, then start again:\n  ${installLine(names)}`);
  await install(names);
  const still = await missingRequirements({ requirements });
  if (still.length > 0) throw new StepFailed(`still missing after the installation:\n${describe(still)}`);
  return `installed ${names.join(' ')}`;
}

/** The one line that installs packages for a user who is not root. */
export function installLine(names) {
  return `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names.join(' ')}`;
}

/** A program in PATH will do, wherever it came from; so will the package, should the program have moved. */
export async function missingRequirements({
  requirements = REQUIREMENTS,
  path = process.env.PATH,
  installed = installedPackages,
  hasFile = existsSync,
} = {}) {
  const absent = requirements.filter(({ program, file }) =>
    program === undefined ? !hasFile(file) : !isInPath(program, path),
  );
  if (absent.length === 0) return [];
  const packages = await installed(absent.map((requirement) => requirement.package));
  return absent.filter((requirement) => !packages.has(requirement.package));
}

function isInPath(program, path) {
  return findProgram(program, path) !== undefined;
}

/** Those of the packages that dpkg says are installed; none where there is no dpkg. */
async function installedPackages(names) {
  const query = ['-W', '-f', '${Package} ${db:Status-Status}\n', ...names];
  // dpkg-query ends with 1 when one of them is unknown; what it knows is printed all the same.
  const { stdout } = await promisify(execFile)('dpkg-query', query).catch((error) => error);
  const lines = (stdout ?? '').split('\n').filter((line) => line.endsWith(' installed'));
  return new Set(lines.map((line) => line.split(' ')[0]));
}

function isDebian() {
  try {
    return /^ID(_LIKE)?=.*\bdebian\b/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

function describe(requirements) {
  return requirements.map(({ program, file, purpose }) => `  ${program ?? file} (${purpose})`).join('\n');
}

async function install(names) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  try {
    await run('apt-get', [...wait, 'update'], { env });
  } catch (error) {
    // One source of several may be out of reach; whether it mattered shows in the next line.
    console.log(`  ${error.message}; going on`);
  }
  await run('apt-get', [...wait, 'install', '-y', '--no-install-recommends', ...names], { env });
}
