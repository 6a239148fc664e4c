import { bytesOf } from './inputs.js';
import { optionsOf, UsageError } from './options.js';
import { unescape } from './printf-format.js';
import type { Program } from './registry.js';

const CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /[0-9A-Za-z]/,
  alpha: /[A-Za-z]/,
  blank: /[ \t]/,

  cntrl: /[\x00-\x1f\x7f]/,
  digit: /\d/,
  graph: /[!-~]/,
  lower: /[a-z]/,
  print: /[ -~]/,
  punct: /[!-/:-@[-`{-~]/,
  space: /[ \t\n\r\f\v]/,
  upper: /[A-Z]/,
  xdigit: /[0-9A-Fa-f]/,
};

const ALL = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));

/** The characters of a set such as `a-z[:digit:]\n`. */
function setOf(text: string): string[] {
  const bytes = bytesOf(text);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; at += 1) {
    const rest = bytes.slice(at);
    const [named, name = ''] = /^\[:(\w+):\]/.exec(rest) ?? [];
    if (named !== undefined) {
      const members = CLASSES[name];
      if (members === undefined) throw new UsageError(`invalid class '${name}'`);
      found.push(...ALL.filter((char) => members.test(char)));
      at += named.length - 1;
      continue;
    }
    const [piece = ''] = /^\\(?:[0-7]{1,3}|[^])|^[^]/.exec(rest) ?? [];
    const [range, to = ''] =
      new RegExp(`^${'[^]'.repeat(piece.length)}-(\\\\(?:[0-7]{1,3}|[^])|[^])`).exec(rest) ?? [];
    const [from, last] = [one(piece), one(to)];
    if (range === undefined) {
      found.push(from);
      at += piece.length - 1;
      continue;
    }
    if (last < from) throw new UsageError(`${range}: the range is backwards`);
    for (let code = from.charCodeAt(0); code <= last.charCodeAt(0); code += 1)
      found.push(String.fromCharCode(code));
    at += range.length - 1;
  }
  return found;
}

function one(piece: string): string {
  const shown = unescape(piece, true).text;
  return shown.startsWith('\\') && shown.length > 1 ? shown.slice(1) : shown;
}

export const tr: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'cCdst');
  const [first, second] = operands;
  if (first === undefined) throw new UsageError('an operand is missing');
  const named = setOf(first);
  const isComplement = flags.has('c') || flags.has('C');
  const from = isComplement ? ALL.filter((char) => !named.includes(char)) : named;
  const to = second === undefined ? [] : setOf(second);
  const isDeleting = flags.has('d');
  if (!isDeleting && !flags.has('s') && second === undefined) throw new UsageError('an operand is missing');
  const map = new Map<string, string>();
  const lastTo = to.at(-1);
  if (!isDeleting && lastTo !== undefined) from.forEach((char, at) => map.set(char, to[at] ?? lastTo));
  const deleted = new Set(isDeleting ? from : []);
  const squeezed = new Set(flags.has('s') ? (to.length > 0 ? to : from) : []);
  let last = '';
  for await (const chunk of process.chunks(process.descriptor(0))) {
    let shown = '';
    for (const char of chunk.toString('latin1')) {
      if (deleted.has(char)) continue;
      const next = map.get(char) ?? char;
      if (next === last && squeezed.has(next)) continue;
      shown += next;
      last = next;
    }
    await process.writeBytes(shown);
  }
  return 0;
};
