import { join } from '../fs/file-system.js';
import type { Inode } from '../fs/inode.js';
import { reporting } from '../process/errno-text.js';
import type { Process } from '../process/process.js';
import { modeText } from './mode.js';
import { optionsOf, UsageError } from './options.js';
import type { Program } from './registry.js';

interface Entry {
  readonly name: string;
  readonly inode: Inode;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

function timeText(mtimeMs: number): string {
  const date = new Date(mtimeMs);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = String(date.getUTCDate()).padStart(2);
  return `${MONTHS[date.getUTCMonth()] ?? ''} ${day} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
}

function sizeText(size: number, isHuman: boolean): string {
  if (!isHuman || size < 1024) return String(size);
  const power = Math.min(3, Math.floor(Math.log2(size) / 10));
  return `${(size / 1024 ** power).toFixed(1)}${'KMG'[power - 1] ?? ''}`;
}

function longLine(process: Process, { name, inode }: Entry, flags: ReadonlySet<string>): string {
  const { kind, mode, uid, gid, size, links, mtimeMs, target } = inode;
  const [user, group] = flags.has('n')
    ? [String(uid), String(gid)]
    : [process.system.userName(uid), process.system.groupName(gid)];
  const shown = kind === 'symlink' ? `${name} -> ${target}` : name;
  const length = sizeText(size, flags.has('h')).padStart(8);
  return `${modeText(kind, mode)} ${String(links).padStart(4)} ${user.padEnd(8)} ${group.padEnd(8)} ${length} ${timeText(mtimeMs)} ${shown}`;
}

function marked({ name, inode }: Entry, flags: ReadonlySet<string>): string {
  if (!flags.has('F') && !flags.has('p')) return name;
  if (inode.kind === 'directory') return `${name}/`;
  if (!flags.has('F')) return name;
  return inode.kind === 'symlink' ? `${name}@` : (inode.mode & 0o111) !== 0 ? `${name}*` : name;
}

async function show(process: Process, entries: Entry[], flags: ReadonlySet<string>): Promise<void> {
  if (flags.has('t')) entries.sort((a, b) => b.inode.mtimeMs - a.inode.mtimeMs);
  if (flags.has('S')) entries.sort((a, b) => b.inode.size - a.inode.size);
  if (flags.has('r')) entries.reverse();
  for (const entry of entries) {
    const number = flags.has('i') ? `${entry.inode.number} ` : '';
    const text = flags.has('l') || flags.has('n') ? longLine(process, entry, flags) : marked(entry, flags);
    await process.write(`${number}${text}\n`);
  }
}

async function showFolder(process: Process, full: string, flags: ReadonlySet<string>): Promise<void> {
  const { files } = process;
  const isAll = flags.has('a');
  const hidden = isAll ? ['.', '..'] : [];
  const names = files.readdir(full).filter((name) => isAll || flags.has('A') || !name.startsWith('.'));
  const entries = [...hidden, ...names].map((name) => ({ name, inode: files.lstat(join(full, name)) }));
  await show(process, entries, flags);
}

export const ls: Program = async (process) => {
  const { operands, flags } = optionsOf(process, '1aAdFhilnpRrStC', { all: 'a', recursive: 'R', color: '1' });
  const { files } = process;
  const plain: Entry[] = [];
  const folders: string[] = [];
  let status = 0;
  for (const path of operands.length === 0 ? ['.'] : operands) {
    const failed = await reporting(
      () => {
        const full = process.path(path);
        const inode =
          flags.has('l') || flags.has('d') ? files.lstat(full) : (files.find(full) ?? files.lstat(full));
        if (inode.kind === 'directory' && !flags.has('d')) folders.push(path);
        else plain.push({ name: path, inode });
        return 0;
      },
      (text) => process.complain(`${path}: ${text}`),
    );
    status ||= failed;
  }
  await show(process, plain, flags);
  const hasTitles = folders.length + plain.length > 1 || flags.has('R');
  for (const [index, path] of folders.entries()) {
    if (hasTitles) await process.write(`${index === 0 && plain.length === 0 ? '' : '\n'}${path}:\n`);
    const failed = await reporting(
      () => showFolder(process, process.path(path), flags).then(() => 0),
      (text) => process.complain(`${path}: ${text}`),
    );
    status ||= failed;
    if (!flags.has('R')) continue;
    const below = files.readdir(process.path(path)).map((name) => join(path, name));
    folders.splice(
      index + 1,
      0,
      ...below.filter((each) => files.lstat(process.path(each)).kind === 'directory'),
    );
  }
  return status;
};

const KINDS = { file: 'regular file', directory: 'directory', symlink: 'symbolic link' } as const;

function statField(process: Process, letter: string, path: string, inode: Inode): string {
  const { kind, mode, uid, gid, size, links, number, mtimeMs } = inode;
  const fields: Readonly<Record<string, () => string>> = {
    n: () => path,
    N: () => (kind === 'symlink' ? `'${path}' -> '${inode.target}'` : `'${path}'`),
    s: () => String(size),
    b: () => String(Math.ceil(size / 512)),
    B: () => '512',
    a: () => mode.toString(8),
    A: () => modeText(kind, mode),
    f: () => (mode | { file: 0o100000, directory: 0o40000, symlink: 0o120000 }[kind]).toString(16),
    F: () => (kind === 'file' && size === 0 ? 'regular empty file' : KINDS[kind]),
    u: () => String(uid),
    U: () => process.system.userName(uid),
    g: () => String(gid),
    G: () => process.system.groupName(gid),
    h: () => String(links),
    i: () => String(number),
    Y: () => String(Math.floor(mtimeMs / 1000)),
    y: () => new Date(mtimeMs).toISOString(),
    X: () => String(Math.floor(mtimeMs / 1000)),
    Z: () => String(Math.floor(mtimeMs / 1000)),
    '%': () => '%',
  };
  return fields[letter]?.() ?? `%${letter}`;
}

export const stat: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'Lc:t', { format: 'c', dereference: 'L' });
  const format =
    values.get('c') ?? '  File: %N\n  Size: %s  %F\nAccess: (%a/%A)  Uid: (%u/%U)  Gid: (%g/%G)\nModify: %y';
  if (operands.length === 0) throw new UsageError('an operand is missing');
  let status = 0;
  for (const path of operands) {
    const failed = await reporting(
      async () => {
        const full = process.path(path);
        const inode = flags.has('L') ? process.files.stat(full) : process.files.lstat(full);
        const text = format.replace(/%(.)/g, (_, letter: string) => statField(process, letter, path, inode));
        await process.write(`${text}\n`);
        return 0;
      },
      (text) => process.complain(`can't stat '${path}': ${text}`),
    );
    status ||= failed;
  }
  return status;
};
