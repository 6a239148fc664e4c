import { bytesOf } from './inputs.js';
import { UsageError } from './options.js';
import { posixExpression } from './regular-expression.js';

export type Address =
  | { readonly kind: 'line'; readonly line: number }
  | { readonly kind: 'step'; readonly first: number; readonly step: number }
  | { readonly kind: 'last' }
  | { readonly kind: 'match'; readonly expression: RegExp };

export interface Substitution {
  readonly expression: RegExp;
  readonly replacement: string;
  /** The first match that is replaced, from 1. */
  readonly from: number;
  readonly isGlobal: boolean;
  readonly isPrinted: boolean;
  readonly file: string | undefined;
}

export interface SedCommand {
  readonly name: string;
  readonly addresses: readonly Address[];
  readonly isNegated: boolean;
  /** Of `a`, `i` and `c`; of `b` and `t` the label; of `r` and `w` the file. */
  readonly text: string;
  readonly substitution?: Substitution;
  readonly map?: ReadonlyMap<string, string>;
  /** Of `{`: what it has. */
  readonly body?: readonly SedCommand[];
  /** A range that began: `true` until its end. */
  isOpen: boolean;
}

const TEXT_COMMANDS = 'aic';
const NAME_COMMANDS = 'btTrw:';
const PLAIN_COMMANDS = 'dDpPgGhHxnNqQ=lz';

/** Reads a script of sed. */
export class SedParser {
  readonly #text: string;
  readonly #isExtended: boolean;
  #at = 0;

  constructor(script: string, isExtended: boolean) {
    this.#text = bytesOf(script);
    this.#isExtended = isExtended;
  }

  /** Throws a `UsageError`. */
  parse(isBlock = false): SedCommand[] {
    const commands: SedCommand[] = [];
    for (;;) {
      this.#skip(/[\s;]*/y);
      if (this.#at >= this.#text.length) {
        if (isBlock) throw new UsageError('unmatched {');
        return commands;
      }
      if (this.#peek() === '}') {
        if (!isBlock) throw new UsageError('unexpected }');
        this.#at += 1;
        return commands;
      }
      if (this.#peek() === '#') this.#skip(/[^\n]*/y);
      else commands.push(this.#command());
    }
  }

  #peek(): string {
    return this.#text[this.#at] ?? '';
  }

  #skip(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found = ''] = pattern.exec(this.#text) ?? [];
    this.#at += found.length;
    return found;
  }

  #command(): SedCommand {
    const addresses: Address[] = [];
    const first = this.#address();
    if (first !== undefined) addresses.push(first);
    this.#skip(/\s*/y);
    if (first !== undefined && this.#peek() === ',') {
      this.#at += 1;
      this.#skip(/\s*/y);
      const second = this.#address();
      if (second === undefined) throw new UsageError('an address is missing behind ,');
      addresses.push(second);
    }
    const isNegated = /!/.test(this.#skip(/[\s!]*/y));
    const name = this.#peek();
    this.#at += 1;
    const command = { name, addresses, isNegated, text: '', isOpen: false };
    if (name === '{') return { ...command, body: this.parse(true) };
    if (name === 's') return { ...command, substitution: this.#substitution() };
    if (name === 'y') return { ...command, map: this.#map() };
    if (TEXT_COMMANDS.includes(name)) return { ...command, text: this.#block() };
    if (name !== '' && NAME_COMMANDS.includes(name))
      return { ...command, text: this.#skip(/[^;\n}]*/y).trim() };
    if (name === '' || !PLAIN_COMMANDS.includes(name)) throw new UsageError(`unsupported command ${name}`);
    return { ...command, text: this.#skip(/[ \t]*\d*/y).trim() };
  }

  #address(): Address | undefined {
    const [digits = '', step] = this.#skip(/\d+(~\d+)?/y).split('~');
    if (step !== undefined) return { kind: 'step', first: Number(digits), step: Number(step) };
    if (digits !== '') return { kind: 'line', line: Number(digits) };
    if (this.#peek() === '$') {
      this.#at += 1;
      return { kind: 'last' };
    }
    if (this.#peek() !== '/' && this.#peek() !== '\\') return undefined;
    if (this.#peek() === '\\') this.#at += 1;
    const pattern = this.#delimited(this.#take());
    const flags = this.#skip(/I?/y) === 'I' ? 'i' : '';
    return { kind: 'match', expression: posixExpression(pattern, this.#isExtended, flags) };
  }

  #take(): string {
    this.#at += 1;
    return this.#text[this.#at - 1] ?? '';
  }

  /** Up to the delimiter, which a backslash makes a plain character. */
  #delimited(delimiter: string): string {
    let text = '';
    for (;;) {
      const char = this.#take();
      if (char === '') throw new UsageError(`unmatched ${delimiter}`);
      if (char === delimiter) return text;
      if (char === '\\') {
        const next = this.#take();
        text += next === delimiter ? next : `\\${next}`;
      } else {
        text += char;
      }
    }
  }

  #substitution(): Substitution {
    const delimiter = this.#take();
    const pattern = this.#delimited(delimiter);
    const replacement = this.#delimited(delimiter);
    const flags = this.#skip(/[gpiIe0-9]*/y);
    const file =
      this.#peek() === 'w'
        ? this.#skip(/w[^\n]*/y)
            .slice(1)
            .trim()
        : undefined;
    const caseless = /[iI]/.test(flags) ? 'gi' : 'g';
    return {
      expression: posixExpression(pattern, this.#isExtended, caseless),
      replacement,
      from: Number(/\d+/.exec(flags)?.[0] ?? '1'),
      isGlobal: flags.includes('g'),
      isPrinted: flags.includes('p'),
      file,
    };
  }

  #map(): ReadonlyMap<string, string> {
    const delimiter = this.#take();
    const [from, to] = [this.#delimited(delimiter), this.#delimited(delimiter)].map((text) => [
      ...text.replace(/\\n/g, '\n').replace(/\\\\/g, '\\'),
    ]);
    if (from?.length !== to?.length) throw new UsageError('y: strings of different lengths');
    return new Map(from?.map((char, at) => [char, to?.[at] ?? '']));
  }

  /** The text of `a`, `i` and `c`: behind it, or on the next lines. */
  #block(): string {
    this.#skip(/[ \t]*(\\\n?)?[ \t]*/y);
    let text = '';
    for (let line = this.#skip(/[^\n]*/y); ; line = this.#skip(/[^\n]*/y)) {
      this.#at += 1;
      if (!line.endsWith('\\')) return `${text}${line}`;
      text += `${line.slice(0, -1)}\n`;
    }
  }
}
