import { basenameOf, join } from '../fs/file-system.js';
import { DiskError } from '../fs/inode.js';
import { errnoText, reporting } from '../process/errno-text.js';
import type { OpenFile } from '../process/open-file.js';
import type { Process } from '../process/process.js';
import { openFile } from '../process/regular-file.js';
import { copyTree } from './copy-tree.js';
import { eachInput } from './inputs.js';
import { ls, stat } from './list-programs.js';
import { parseMode } from './mode.js';
import { optionsOf, UsageError, wholeNumber } from './options.js';
import type { Program, Programs } from './registry.js';

/** Does something with each path; errors are complained about, path by path. Answers the status. */
async function eachPath(
  process: Process,
  paths: readonly string[],
  act: (full: string, path: string) => Promise<void> | void,
): Promise<number> {
  if (paths.length === 0) throw new UsageError('an operand is missing');
  let status = 0;
  for (const path of paths) {
    await process.system.breathe(process.signal);
    const failed = await reporting(
      async () => {
        await act(process.path(path), path);
        return 0;
      },
      (text) => process.complain(`${path}: ${text}`),
    );
    status ||= failed;
  }
  return status;
}

const cat: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'nu');
  let line = 1;
  return eachInput(process, operands, async (file) => {
    if (!flags.has('n')) {
      for await (const chunk of process.chunks(file)) await process.write(chunk);
      return;
    }
    for await (const text of process.lines(file)) {
      await process.writeBytes(`${String(line).padStart(6)}\t${text}\n`);
      line += 1;
    }
  });
};

const tee: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'ai', { append: 'a' });
  const files: OpenFile[] = [];
  const open = (full: string): void =>
    void files.push(openFile(process.files, full, flags.has('a') ? '>>' : '>'));
  let status = operands.length === 0 ? 0 : await eachPath(process, operands, open);
  try {
    for await (const chunk of process.chunks(process.descriptor(0))) {
      await process.write(chunk);
      for (const file of files) {
        const failed = await reporting(
          () => file.write(chunk, process.signal).then(() => 0),
          (text) => process.complain(text),
        );
        status ||= failed;
      }
    }
  } finally {
    for (const file of files) file.release();
  }
  return status;
};

const rm: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'rRfi', { recursive: 'r', force: 'f' });
  const isRecursive = flags.has('r') || flags.has('R');
  if (operands.length === 0 && flags.has('f')) return 0;
  return eachPath(process, operands, (full) => {
    if (flags.has('f') && process.files.locateQuietly(full)?.inode === undefined) return;
    if (isRecursive) process.files.removeAll(full);
    else process.files.unlink(full);
  });
};

const mkdir: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'pm:', { parents: 'p', mode: 'm' });
  const mode = values.has('m') ? parseMode(values.get('m') ?? '', 0o777) : 0o755;
  return eachPath(process, operands, (full) => {
    if (flags.has('p')) process.files.mkdirAll(full);
    else process.files.mkdir(full, mode);
    if (values.has('m')) process.files.chmod(full, mode);
  });
};

const rmdir: Program = async (process) => {
  const { operands } = optionsOf(process, '');
  return eachPath(process, operands, (full) => process.files.rmdir(full));
};

/** Where each source goes: into a folder, or under the last name. */
function targetsOf(process: Process, operands: readonly string[], isPlain = false): [string, string][] {
  const sources = operands.slice(0, -1);
  const last = operands.at(-1);
  if (last === undefined || sources.length === 0) throw new UsageError('a file operand is missing');
  const target = process.path(last);
  const isFolder = !isPlain && process.files.find(target)?.kind === 'directory';
  if (!isFolder && sources.length > 1) throw new UsageError(`${last}: ${errnoText('ENOTDIR')}`);
  return sources.map((source) => [source, isFolder ? join(target, basenameOf(source)) : target]);
}

const cp: Program = async (process) => {
  const long = { recursive: 'r', archive: 'a', force: 'f' };
  const { operands, flags } = optionsOf(process, 'rRafpT', long);
  const isRecursive = ['r', 'R', 'a'].some((flag) => flags.has(flag));
  const keepsFacts = flags.has('a') || flags.has('p');
  const targets = targetsOf(process, operands, flags.has('T'));
  return eachPath(
    process,
    targets.map(([source]) => source),
    async (full, source) => {
      const [, target = ''] = targets.find(([name]) => name === source) ?? [];
      await copyTree(process, { from: full, to: target, isRecursive, keepsFacts });
    },
  );
};

const mv: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'fnT');
  const targets = targetsOf(process, operands, flags.has('T'));
  return eachPath(
    process,
    targets.map(([source]) => source),
    (full, source) => {
      const [, target = ''] = targets.find(([name]) => name === source) ?? [];
      if (flags.has('n') && process.files.find(target) !== undefined) return;
      process.files.rename(full, target);
    },
  );
};

const ln: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'sfnT', { symbolic: 's', force: 'f' });
  const [only] = operands;
  const both = operands.length === 1 && only !== undefined ? [only, basenameOf(only)] : operands;
  let status = 0;
  for (const [source, target] of targetsOf(process, both, flags.has('n') || flags.has('T'))) {
    const failed = await eachPath(process, [target], () => {
      if (flags.has('f') && process.files.locateQuietly(target)?.inode !== undefined)
        process.files.unlink(target);
      if (flags.has('s')) process.files.symlink(source, target);
      else process.files.link(process.path(source), target);
    });
    status ||= failed;
  }
  return status;
};

const touch: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'cd:mart:', { 'no-create': 'c', date: 'd' });
  const given = values.get('d');
  const time =
    given === undefined
      ? process.guest.now()
      : /^@\d+$/.test(given)
        ? Number(given.slice(1)) * 1000
        : Date.parse(given);
  if (Number.isNaN(time)) throw new UsageError(`invalid date '${given ?? ''}'`);
  return eachPath(process, operands, (full) => {
    if (process.files.find(full) === undefined) {
      if (flags.has('c')) return;
      process.files.open(full, { write: true, create: true });
    }
    process.files.utimes(full, time);
  });
};

/** Below a path too, when it is a folder and all of it is meant. */
function changeAll(
  process: Process,
  full: string,
  isRecursive: boolean,
  change: (path: string) => void,
): void {
  change(full);
  const inode = process.files.lstat(full);
  if (!isRecursive || inode.kind !== 'directory') return;
  for (const name of process.files.readdir(full)) {
    if (process.files.lstat(join(full, name)).kind !== 'symlink')
      changeAll(process, join(full, name), true, change);
  }
}

const chmod: Program = async (process) => {
  // A mode such as `-x` is no option.
  const isRecursive = process.args[0] === '-R';
  const [mode, ...paths] = process.args.slice(isRecursive ? 1 : 0);
  if (mode === undefined) throw new UsageError('an operand is missing');
  return eachPath(process, paths, (full) =>
    changeAll(process, full, isRecursive, (path) => {
      const inode = process.files.stat(path);
      process.files.chmod(path, parseMode(mode, inode.mode, inode.kind === 'directory'));
    }),
  );
};

const chown: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'Rh', { recursive: 'R' });
  const [owner, ...paths] = operands;
  if (owner === undefined) throw new UsageError('an operand is missing');
  const account = process.system.accountNamed(owner);
  const [name] = owner.split(':');
  const ids = {
    ...(name === '' ? {} : { uid: account.uid }),
    ...(owner.includes(':') ? { gid: account.gid } : {}),
  };
  return eachPath(process, paths, (full) =>
    changeAll(process, full, flags.has('R'), (path) => process.files.chown(path, ids)),
  );
};

const readlink: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'fn');
  return eachPath(process, operands, async (full) => {
    const target = flags.has('f') ? process.files.realpath(full) : process.files.readlink(full);
    await process.write(flags.has('n') ? target : `${target}\n`);
  });
};

const realpath: Program = async (process) => {
  const { operands } = optionsOf(process, '');
  return eachPath(process, operands, (full) => process.write(`${process.files.realpath(full)}\n`));
};

const truncate: Program = async (process) => {
  const { operands, values, flags } = optionsOf(process, 's:c', { size: 's' });
  const [, sign = '', digits = '', unit = ''] = /^([+-]?)(\d+)([KMG]?)$/.exec(values.get('s') ?? '') ?? [];
  if (digits === '') throw new UsageError('a size is missing');
  const size = wholeNumber(digits) * 1024 ** ['', 'K', 'M', 'G'].indexOf(unit);
  return eachPath(process, operands, (full) => {
    const before = process.files.find(full)?.size;
    if (before === undefined && flags.has('c')) return;
    if (before === undefined) process.files.open(full, { write: true, create: true });
    const wanted =
      sign === '+' ? (before ?? 0) + size : sign === '-' ? Math.max(0, (before ?? 0) - size) : size;
    process.files.truncate(full, wanted);
  });
};

const mktemp: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'dqup:t', { directory: 'd', tmpdir: 'p' });
  const folder = values.get('p') ?? process.env['TMPDIR'] ?? '/tmp';
  const [template = join(folder, 'tmp.XXXXXX')] = operands;
  if (!/XXX$/.test(template)) throw new UsageError(`invalid template '${template}'`);
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const name = template.replace(/X+$/, (marks) => marks.replace(/X/g, randomLetter));
    const full = process.path(name);
    if (process.files.find(full) !== undefined) continue;
    if (flags.has('d')) process.files.mkdir(full, 0o700);
    else process.files.open(full, { write: true, create: true, exclusive: true, mode: 0o600 });
    await process.write(`${name}\n`);
    return 0;
  }
  throw new DiskError('EEXIST', template);
};

function randomLetter(): string {
  return 'abcdefghijklmnopqrstuvwxyz0123456789'[Math.floor(Math.random() * 36)] ?? 'x';
}

const du: Program = async (process) => {
  const { operands } = optionsOf(process, 'shkbac');
  const sizeOf = (full: string): number => {
    const inode = process.files.lstat(full);
    if (inode.kind !== 'directory') return inode.size;
    return process.files.readdir(full).reduce((sum, name) => sum + sizeOf(join(full, name)), 0);
  };
  return eachPath(process, operands.length === 0 ? ['.'] : operands, (full, path) =>
    process.write(`${Math.ceil(sizeOf(full) / 1024)}\t${path}\n`),
  );
};

const df: Program = async (process) => {
  const { limitBytes, usedBytes } = process.files.tree.quota;
  const [all, used] = [limitBytes, usedBytes].map((bytes) => Math.ceil(bytes / 1024));
  const free = (all ?? 0) - (used ?? 0);
  const share = Math.ceil((100 * (used ?? 0)) / (all ?? 1));
  await process.write(
    `Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/vda ${all} ${used} ${free} ${share}% /\n`,
  );
  return 0;
};

const dd: Program = async (process) => {
  const given = new Map(
    process.args.map((arg) => [arg.split('=')[0] ?? '', arg.slice(arg.indexOf('=') + 1)]),
  );
  const sizeOf = (name: string, otherwise: number): number => {
    const [, digits, unit = ''] = /^(\d+)([kKMG]?)$/.exec(given.get(name) ?? '') ?? [];
    return digits === undefined
      ? otherwise
      : Number(digits) * 1024 ** ['', 'K', 'M', 'G'].indexOf(unit.toUpperCase());
  };
  const blockSize = Math.min(sizeOf('bs', 512), 1 << 24);
  let left = sizeOf('count', Infinity) * blockSize;
  let toSkip = sizeOf('skip', 0) * blockSize;
  const [from, to] = [given.get('if'), given.get('of')];
  const input =
    from === undefined ? process.descriptor(0).retain() : openFile(process.files, process.path(from), '<');
  let copied = 0;
  try {
    const output =
      to === undefined ? process.descriptor(1).retain() : openFile(process.files, process.path(to), '>');
    try {
      while (left > 0) {
        await process.system.breathe(process.signal);
        const max = Math.min(blockSize, toSkip > 0 ? toSkip : left);
        const data = await input.read({ max, signal: process.signal });
        if (data === undefined) break;
        if (toSkip > 0) {
          toSkip -= data.length;
          continue;
        }
        await output.write(data, process.signal);
        left -= data.length;
        copied += data.length;
      }
    } finally {
      output.release();
    }
  } finally {
    input.release();
  }
  if (given.get('status') !== 'none') await process.write(`${copied} bytes copied\n`, 2);
  return 0;
};

export const FILE_PROGRAMS: Programs<'files'> = {
  cat,
  chmod,
  chown,
  cp,
  dd,
  df,
  du,
  ln,
  ls,
  mkdir,
  mktemp,
  mv,
  readlink,
  realpath,
  rm,
  rmdir,
  stat,
  tee,
  touch,
  truncate,
};
