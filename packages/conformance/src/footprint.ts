import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** Names in a folder that may vanish while it is read, as those of /proc do. */
async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch {
    // The process is gone or belongs to another user, so nothing of ours is in it.
    return [];
  }
}

async function readOr(path: string, read: (path: string) => Promise<string>): Promise<string> {
  try {
    return await read(path);
  } catch {
    // The process or descriptor ended meanwhile.
    return '';
  }
}

const readText = (path: string): Promise<string> => readFile(path, 'latin1');

/** What each open descriptor of this process is, apart from those that Node opens and closes by itself. */
export async function openDescriptors(): Promise<string[]> {
  const links = await Promise.all(
    (await namesIn('/proc/self/fd')).map((fd) => readOr(`/proc/self/fd/${fd}`, readlink)),
  );
  return links.filter((link) => link !== '' && !link.startsWith('/proc/')).sort();
}

async function processes(): Promise<number[]> {
  return (await namesIn('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number);
}

/** Living child processes of this one. */
export async function childProcesses(): Promise<number[]> {
  const children: number[] = [];
  for (const pid of await processes()) {
    const stat = await readOr(`/proc/${pid}/stat`, readText);
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(parent) === process.pid && state !== 'Z') children.push(pid);
  }
  return children;
}

/**
 * Living processes, other than this one, that work on a folder: by their arguments, working directory or open
 * files.
 */
export async function processesUsing(folder: string): Promise<number[]> {
  const using: number[] = [];
  for (const pid of await processes()) {
    if (pid !== process.pid && (await isUsing(pid, folder))) using.push(pid);
  }
  return using;
}

async function isUsing(pid: number, folder: string): Promise<boolean> {
  if ((await readOr(`/proc/${pid}/cmdline`, readText)).includes(folder)) return true;
  if ((await readOr(`/proc/${pid}/cwd`, readlink)).startsWith(folder)) return true;
  for (const fd of await namesIn(`/proc/${pid}/fd`)) {
    if ((await readOr(`/proc/${pid}/fd/${fd}`, readlink)).startsWith(folder)) return true;
  }
  return false;
}

/** Every file and folder below a folder, relative to it, sorted. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.map((entry) => relative(folder, join(entry.parentPath, entry.name))).sort();
}

/**
 * The same of a state directory, without what it keeps when its VMs are gone: the history of jobs, and room
 * for records.
 */
export async function filesOfVms(stateDir: string): Promise<string[]> {
  const isKept = (path: string): boolean => path.startsWith('jobs/') || path === '.reserve';
  return (await filesIn(stateDir)).filter((path) => !isKept(path));
}

/** Beyond this a file is known by its identity: a state directory may hold the memory of many guests. */
const CONTENT_LIMIT = 64 * 1024;

/**
 * Content of every regular file below a folder, by relative path; of a large one what changes with its
 * content.
 */
export async function contentsOf(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const contents = new Map<string, Buffer>();
  for (const entry of entries.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const { size, ino, mtimeMs, ctimeMs } = await stat(path);
    const identity = Buffer.from(`${ino} ${size} ${mtimeMs} ${ctimeMs}`);
    contents.set(relative(folder, path), size > CONTENT_LIMIT ? identity : await readFile(path));
  }
  return contents;
}
