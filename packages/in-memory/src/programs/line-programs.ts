import type { OpenFile } from '../process/open-file.js';
import type { Process } from '../process/process.js';
import { bytesOf, eachInput } from './inputs.js';
import { optionsOf, UsageError, wholeNumber } from './options.js';
import type { Program, Programs } from './registry.js';
import { sort } from './sort.js';
import { tr } from './tr.js';

/** `-5` is `-n 5`. */
function withCount(process: Process): Pick<Process, 'args'> {
  const isCount = (at: number): boolean => at === 0 || !/^-[nc]$/.test(process.args[at - 1] ?? '');
  return { args: process.args.map((arg, at) => (isCount(at) ? arg.replace(/^-(\d+)$/, '-n$1') : arg)) };
}

async function titled(
  process: Process,
  paths: readonly string[],
  name: string,
  index: number,
): Promise<void> {
  if (paths.length > 1) await process.write(`${index === 0 ? '' : '\n'}==> ${name} <==\n`);
}

const head: Program = async (process) => {
  const { operands, values } = optionsOf(withCount(process), 'n:c:qv');
  const [lines, bytes] = [values.get('n') ?? '10', values.get('c')];
  let index = 0;
  return eachInput(process, operands, async (file, name) => {
    await titled(process, operands, name, index++);
    if (bytes !== undefined) await headBytes(process, file, wholeNumber(bytes));
    else await headLines(process, file, lines);
  });
};

async function headBytes(process: Process, file: OpenFile, count: number): Promise<void> {
  let left = count;
  while (left > 0) {
    const data = await file.read({ max: left, signal: process.signal });
    if (data === undefined) return;
    left -= data.length;
    await process.write(data);
  }
}

async function headLines(process: Process, file: OpenFile, count: string): Promise<void> {
  const isAllBut = count.startsWith('-');
  const wanted = wholeNumber(count.replace(/^[+-]/, ''));
  const held: string[] = [];
  if (wanted === 0 && !isAllBut) return;
  let shown = 0;
  for await (const line of process.lines(file)) {
    if (isAllBut) {
      held.push(line);
      if (held.length > wanted) await process.writeBytes(`${held.shift() ?? ''}\n`);
      continue;
    }
    await process.writeBytes(`${line}\n`);
    shown += 1;
    if (shown >= wanted) return;
  }
}

const tail: Program = async (process) => {
  const { operands, values, flags } = optionsOf(withCount(process), 'n:c:qvfF');
  const unit = values.has('c') ? 'c' : 'n';
  const count = values.get(unit) ?? '10';
  const isFromStart = count.startsWith('+');
  const wanted = wholeNumber(count.replace(/^[+-]/, ''));
  let index = 0;
  return eachInput(process, operands, async (file, name) => {
    await titled(process, operands, name, index++);
    const text = await process.readAll(file);
    if (unit === 'c') {
      await process.writeBytes(
        isFromStart ? text.slice(Math.max(0, wanted - 1)) : wanted === 0 ? '' : text.slice(-wanted),
      );
    } else {
      const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
      const from = isFromStart ? Math.max(0, wanted - 1) : Math.max(0, lines.length - wanted);
      await process.writeBytes(lines.slice(from).join(''));
    }
    if (flags.has('f') || flags.has('F')) await follow(process, file);
  });
};

/** As long as it takes: until it is killed. */
async function follow(process: Process, file: OpenFile): Promise<void> {
  const LOOK_MS = 100;
  for (;;) {
    for await (const chunk of process.chunks(file)) await process.write(chunk);
    await process.guest.sleep(LOOK_MS, process.signal);
  }
}

const wc: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'lwcmL');
  const letters = [...'lwmc'].filter((letter) => flags.has(letter));
  const shown = letters.length === 0 ? [...'lwc'] : letters;
  const totals = [0, 0, 0, 0];
  const line = (counts: readonly number[], name: string): string => {
    const values = shown.map((letter) => String(counts['lwmc'.indexOf(letter)] ?? 0));
    const text = values.length === 1 ? values.join('') : values.map((value) => value.padStart(7)).join(' ');
    return `${text}${name === '-' ? '' : ` ${name}`}\n`;
  };
  const status = await eachInput(process, operands, async (file, name) => {
    const counts = [0, 0, 0, 0];
    let isInWord = false;
    for await (const chunk of process.chunks(file)) {
      for (const byte of chunk) {
        const isSpace = byte === 0x20 || (byte >= 9 && byte <= 13);
        if (byte === 0x0a) counts[0] = (counts[0] ?? 0) + 1;
        if (!isSpace && !isInWord) counts[1] = (counts[1] ?? 0) + 1;
        if ((byte & 0xc0) !== 0x80) counts[2] = (counts[2] ?? 0) + 1;
        isInWord = !isSpace;
      }
      counts[3] = (counts[3] ?? 0) + chunk.length;
    }
    counts.forEach((count, at) => (totals[at] = (totals[at] ?? 0) + count));
    await process.write(line(counts, name));
  });
  if (operands.length > 1) await process.write(line(totals, 'total'));
  return status;
};

/** Places of a list such as `1,3-5,7-`. */
function placesOf(list: string): (place: number) => boolean {
  const ranges = list.split(',').map((range) => {
    const [, from = '', dash, to = ''] = /^(\d*)(-?)(\d*)$/.exec(range) ?? [];
    if (from === '' && to === '') throw new UsageError(`invalid list '${list}'`);
    return [
      from === '' ? 1 : Number(from),
      dash === '' ? Number(from) : to === '' ? Infinity : Number(to),
    ] as const;
  });
  return (place) => ranges.some(([from, to]) => place >= from && place <= to);
}

const cut: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'b:c:f:d:s', { 'output-delimiter': '' });
  const kind = ['f', 'c', 'b'].find((letter) => values.has(letter));
  if (kind === undefined) throw new UsageError('no list of bytes, characters or fields');
  const isChosen = placesOf(values.get(kind) ?? '');
  const separator = bytesOf(values.get('d') ?? '\t').slice(0, 1);
  return eachInput(process, operands, async (file) => {
    for await (const line of process.lines(file)) {
      if (kind === 'f' && !line.includes(separator)) {
        if (!flags.has('s')) await process.writeBytes(`${line}\n`);
        continue;
      }
      const pieces =
        kind === 'f'
          ? line.split(separator)
          : kind === 'b'
            ? [...line]
            : [...Buffer.from(line, 'latin1').toString()].map(bytesOf);
      const chosen = pieces.filter((_, at) => isChosen(at + 1));
      await process.writeBytes(`${chosen.join(kind === 'f' ? separator : '')}\n`);
    }
  });
};

const uniq: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'cduif:s:');
  const skip = wholeNumber(values.get('s') ?? '0');
  const fields = wholeNumber(values.get('f') ?? '0');
  const key = (line: string): string => {
    const text = line.replace(new RegExp(`^(?:[ \\t]*[^ \\t]+){0,${fields}}`), (part) =>
      fields === 0 ? part : '',
    );
    return flags.has('i') ? text.slice(skip).toLowerCase() : text.slice(skip);
  };
  let current: { readonly line: string; count: number } | undefined;
  const flush = async (): Promise<void> => {
    if (current === undefined) return;
    const { line, count } = current;
    const isLeftOut = (flags.has('d') && count === 1) || (flags.has('u') && count > 1);
    const shown = flags.has('c') ? `${String(count).padStart(7)} ${line}` : line;
    if (!isLeftOut) await process.writeBytes(`${shown}\n`);
  };
  const status = await eachInput(process, operands.slice(0, 1), async (file) => {
    for await (const line of process.lines(file)) {
      if (current !== undefined && key(current.line) === key(line)) {
        current.count += 1;
        continue;
      }
      await flush();
      current = { line, count: 1 };
    }
  });
  await flush();
  return status;
};

const tac: Program = async (process) =>
  eachInput(process, process.args, async (file) => {
    const lines = (await process.readAll(file)).match(/[^\n]*\n|[^\n]+$/g) ?? [];
    await process.writeBytes(lines.reverse().join(''));
  });

const rev: Program = async (process) =>
  eachInput(process, process.args, async (file) => {
    for await (const line of process.lines(file)) {
      const text = Buffer.from(line, 'latin1').toString();
      await process.write(`${[...text].reverse().join('')}\n`);
    }
  });

const nl: Program = async (process) => {
  const { operands, values } = optionsOf(process, 'b:');
  let number = 0;
  return eachInput(process, operands, async (file) => {
    for await (const line of process.lines(file)) {
      const isCounted = line !== '' || values.get('b') === 'a';
      if (isCounted) number += 1;
      await process.writeBytes(isCounted ? `${String(number).padStart(6)}\t${line}\n` : '       \n');
    }
  });
};

export const LINE_PROGRAMS: Programs<'lines'> = { cut, head, nl, rev, sort, tac, tail, tr, uniq, wc };
