import { readFileSync } from 'node:fs';
import { run, StepFailed } from './run.mjs';

/**
 * @typedef {{ package: string, purpose: string, probe: (path?: string) => Promise<string | undefined> }}
 * Requirement
 */

/** Makes sure that what is needed works, by installing packages where we may; returns a line that says so. */
export async function ensurePackages(requirements) {
  const missing = await missingRequirements(requirements);
  if (missing.length === 0) return `all ${requirements.length} requirements are met`;
  console.log(`missing here:\n${describe(missing)}`);
  if (!isDebian()) throw new StepFailed('install these, then start again; the packages are those of Debian');
  const names = packagesOf(missing);
  if (process.getuid() !== 0)
    throw new StepFailed(`run this line, then start again:\n  ${installLine(names)}`);
  await install(names);
  const still = await missingRequirements(missing);
  if (still.length > 0) throw new StepFailed(`still missing after the installation:\n${describe(still)}`);
  return `installed ${names.join(' ')}`;
}

/** Those that do not work, each with what is wrong in `problem`. */
export async function missingRequirements(requirements, path = process.env.PATH) {
  const probed = await Promise.all(
    requirements.map(async (requirement) => ({ ...requirement, problem: await requirement.probe(path) })),
  );
  return probed.filter(({ problem }) => problem !== undefined);
}

/** The one line that installs packages for a user who is not root. */
export function installLine(names) {
  return `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names.join(' ')}`;
}

export function packagesOf(requirements) {
  return [...new Set(requirements.map((requirement) => requirement.package))];
}

function isDebian() {
  try {
    return /^ID(_LIKE)?=.*\bdebian\b/m.test(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return false;
  }
}

/** A line for each: the package, what it is for, what was tried. */
export function describe(missing) {
  return missing
    .map((requirement) => `  ${requirement.package} ${requirement.purpose}: ${requirement.problem}`)
    .join('\n');
}

async function install(names) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=600'];
  try {
    await run('apt-get', ['-q', ...wait, 'update'], { env, log: 'apt-get-update' });
  } catch (error) {
    // One source of several may be out of reach; whether it mattered shows in the next line.
    console.log(`  ${error.message}; going on`);
  }
  const options = ['-q', ...wait, 'install', '-y', '--no-install-recommends'];
  await run('apt-get', [...options, ...names], { env, log: 'apt-get-install' });
}
