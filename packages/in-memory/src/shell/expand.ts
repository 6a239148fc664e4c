import type {
  ArithmeticExpression,
  DoubleQuotedChild,
  ParameterExpansionPart,
  ParsedScript,
  Word,
  WordPart,
} from 'unbash';
import type { FileSystem } from '../fs/file-system.js';
import { evaluate } from './arithmetic.js';
import { expandPaths } from './glob.js';
import { applyOperation } from './parameter-operation.js';
import { plainText, type Segment } from './pattern.js';
import { ShellError } from './shell-error.js';
import type { ShellState } from './shell-state.js';

/** What expansions need of their shell. */
export interface ExpansionHost {
  readonly state: ShellState;
  readonly files: FileSystem;
  readonly pid: number;
  /** Home of a user; undefined for one that the guest does not know. */
  homeOf(user: string): string | undefined;
  /** Output of a command, without the newlines at its end. */
  capture(script: ParsedScript | undefined): Promise<string>;
  parse(text: string): ParsedScript;
}

type Field = Segment[];

/** Collects fields: unquoted results are split at the characters of `IFS`. */
class Fields {
  readonly done: Field[] = [];
  #current: Field | undefined;
  readonly #separators: string;

  constructor(separators: string) {
    this.#separators = separators;
  }

  add(text: string, isQuoted: boolean): void {
    (this.#current ??= []).push({ text, isQuoted });
  }

  end(): void {
    if (this.#current !== undefined) this.done.push(this.#current);
    this.#current = undefined;
  }

  split(text: string): void {
    const isBlank = (char: string): boolean => ' \t\n'.includes(char);
    let piece = '';
    let wasBlank = false;
    const flush = (): void => {
      if (piece !== '') this.add(piece, false);
      piece = '';
    };
    for (const char of text) {
      if (!this.#separators.includes(char)) {
        if (wasBlank) this.end();
        wasBlank = false;
        piece += char;
        continue;
      }
      flush();
      if (isBlank(char)) {
        wasBlank = true;
        continue;
      }
      // Each other separator ends a field, also an empty one.
      if (this.#current === undefined) this.add('', true);
      this.end();
      wasBlank = false;
    }
    flush();
    if (wasBlank) this.end();
  }
}

/** Expands words of one shell. */
export class Expander {
  readonly #host: ExpansionHost;

  constructor(host: ExpansionHost) {
    this.#host = host;
  }

  /** The arguments that words become. */
  async words(words: readonly Word[]): Promise<string[]> {
    const all: string[] = [];
    for (const word of words) all.push(...(await this.#fields(word)));
    return all;
  }

  /** A word that stays one: of an assignment, a redirection or a `case`. */
  async single(word: Word | undefined): Promise<string> {
    return plainText(await this.segments(word));
  }

  /** As `single`, still knowing what was quoted: for patterns. */
  async segments(word: Word | undefined): Promise<Segment[]> {
    if (word === undefined) return [];
    if (word.parts === undefined) return this.#plain(word);
    const segments: Segment[] = [];
    for (const [index, part] of word.parts.entries()) {
      segments.push(...(await this.#segmentsOf(part, index === 0)));
    }
    return segments;
  }

  /** The body of a here-document, or any list of parts in which only `$` and backquotes mean something. */
  async quoted(parts: readonly WordPart[]): Promise<string> {
    let text = '';
    for (const part of parts) text += plainText(await this.#segmentsOf(part, false));
    return text;
  }

  /** The value of `$name` or of a special parameter; undefined when it is not set. */
  parameter(name: string): string | undefined {
    const { state, pid } = this.#host;
    switch (name) {
      case '?':
        return String(state.lastStatus);
      case '$':
        return String(pid);
      case '!':
        return state.lastBackgroundPid === undefined ? undefined : String(state.lastBackgroundPid);
      case '#':
        return String(state.parameters.length);
      case '@':
      case '*':
        return state.parameters.length === 0 ? undefined : state.parameters.join(this.#joiner());
      case '0':
        return state.name;
      case '-':
        return this.#flags();
      default:
        return /^\d+$/.test(name) ? state.parameters[Number(name) - 1] : state.get(name);
    }
  }

  async arithmetic(expression: ArithmeticExpression | undefined): Promise<bigint> {
    const { state } = this.#host;
    return evaluate(expression, {
      get: (name) => this.#insistSet(name, this.parameter(name)) ?? '',
      set: (name, value) => void state.set(name, value),
      expand: async (part) => {
        if (part.type === 'ArithmeticCommandExpansion') return this.#host.capture(part.script);
        if (part.type !== 'ArithmeticWord') return '';
        if (part.parts !== undefined) return this.quoted(part.parts);
        // A lone `$1` comes as its text.
        const [statement] = this.#host.parse(`: ${part.value}`).commands;
        const command = statement?.command;
        const [word] = command?.type === 'Command' ? command.args : [];
        return word?.type === 'Word' ? this.single(word) : part.value;
      },
      parse: (text) => {
        const [statement] = this.#host.parse(`((${text}))`).commands;
        return statement?.command.type === 'ArithmeticCommand' ? statement.command.expression : undefined;
      },
    });
  }

  async #fields(word: Word): Promise<string[]> {
    const fields = new Fields(this.#host.state.get('IFS') ?? ' \t\n');
    if (word.parts === undefined) {
      for (const { text, isQuoted } of this.#plain(word)) fields.add(text, isQuoted);
    } else {
      for (const [index, part] of word.parts.entries()) await this.#addPart(fields, part, index === 0);
    }
    fields.end();
    const { files, state } = this.#host;
    return fields.done.flatMap((field) => {
      const paths = state.options.noglob ? [] : expandPaths(files, state.cwd, field);
      return paths.length > 0 ? paths : [plainText(field)];
    });
  }

  async #addPart(fields: Fields, part: WordPart, isFirst: boolean): Promise<void> {
    if (part.type === 'DoubleQuoted' || part.type === 'LocaleString') {
      await this.#addQuoted(fields, part.parts);
      return;
    }
    if (isAllParameters(part)) {
      this.#host.state.parameters.forEach((value, index) => {
        if (index > 0) fields.end();
        fields.split(value);
      });
      return;
    }
    const isSplit =
      part.type === 'SimpleExpansion' ||
      part.type === 'ParameterExpansion' ||
      part.type === 'CommandExpansion' ||
      part.type === 'ArithmeticExpansion';
    for (const { text, isQuoted } of await this.#segmentsOf(part, isFirst)) {
      if (isSplit && !isQuoted) fields.split(text);
      else fields.add(text, isQuoted);
    }
  }

  /** `"$@"` is a field for each parameter, and none where there is none. */
  async #addQuoted(fields: Fields, parts: readonly DoubleQuotedChild[]): Promise<void> {
    const { parameters } = this.#host.state;
    const [only] = parts;
    if (parts.length === 1 && only !== undefined && isAllSeparately(only) && parameters.length === 0) return;
    fields.add('', true);
    for (const part of parts) {
      if (!isAllSeparately(part)) {
        fields.add(plainText(await this.#segmentsOf(part, false)), true);
        continue;
      }
      parameters.forEach((value, index) => {
        if (index > 0) fields.end();
        fields.add(value, true);
      });
    }
  }

  async #segmentsOf(part: WordPart, isFirst: boolean): Promise<Segment[]> {
    switch (part.type) {
      case 'Literal':
        return isFirst ? this.#tilde(part.text, part.value) : [{ text: part.value, isQuoted: true }];
      case 'SingleQuoted':
      case 'AnsiCQuoted':
        return [{ text: part.value, isQuoted: true }];
      case 'DoubleQuoted':
      case 'LocaleString':
        return [{ text: await this.quoted(part.parts), isQuoted: true }];
      case 'Glob':
        return part.kind === 'bracket' ? this.#bracket(part.parts) : [{ text: part.value, isQuoted: false }];
      case 'SimpleExpansion':
        return [{ text: this.#simple(part.text.slice(1)), isQuoted: false }];
      case 'ParameterExpansion':
        return this.#expandParameter(part);
      case 'CommandExpansion':
        return [{ text: await this.#host.capture(part.script), isQuoted: false }];
      case 'ArithmeticExpansion':
        return [{ text: String(await this.arithmetic(part.expression)), isQuoted: false }];
      case 'BraceExpansion':
        return [{ text: part.text, isQuoted: true }]; // no part of sh
      case 'ExtendedGlob':
      case 'ProcessSubstitution':
        throw new ShellError(`${part.text}: not in sh`);
    }
  }

  async #bracket(parts: readonly WordPart[]): Promise<Segment[]> {
    const segments: Segment[] = [{ text: '[', isQuoted: false }];
    for (const part of parts) {
      // The set's own characters: a hyphen between two of them is a range.
      if (part.type === 'Literal') segments.push({ text: part.text, isQuoted: false });
      else segments.push(...(await this.#segmentsOf(part, false)));
    }
    return [...segments, { text: ']', isQuoted: false }];
  }

  #plain(word: Word): Segment[] {
    return this.#tilde(word.text, word.value);
  }

  /** `~` and `~user`, where they begin a word and are not quoted. */
  #tilde(text: string, value: string): Segment[] {
    const [, user] = /^~([A-Za-z0-9_.-]*)(?=\/|$)/.exec(text) ?? [];
    const { state } = this.#host;
    const home = user === undefined ? undefined : user === '' ? state.get('HOME') : this.#host.homeOf(user);
    if (user === undefined || home === undefined) return [{ text: value, isQuoted: true }];
    return [{ text: home + value.slice(user.length + 1), isQuoted: true }];
  }

  async #expandParameter(part: ParameterExpansionPart): Promise<Segment[]> {
    const { parameter, prefix, operation, index } = part;
    if (index !== undefined) throw new ShellError(`${part.text}: arrays are not in sh`);
    let name = parameter;
    if (prefix === '!') name = this.parameter(parameter) ?? '';
    const value = this.parameter(name);
    if (prefix === '#') return [{ text: String([...(value ?? '')].length), isQuoted: false }];
    if (operation === undefined) return [{ text: this.#insistSet(name, value) ?? '', isQuoted: false }];
    return applyOperation(operation, {
      name,
      value: operation.type === 'Default' ? value : this.#insistSet(name, value),
      assign: (text) => void this.#host.state.set(name, text),
      segments: (word) => this.segments(word),
      number: async (word) => {
        const [statement] = this.#host.parse(`((${await this.single(word)}))`).commands;
        const command = statement?.command;
        return Number(
          await this.arithmetic(command?.type === 'ArithmeticCommand' ? command.expression : undefined),
        );
      },
    });
  }

  #simple(name: string): string {
    return this.#insistSet(name, this.parameter(name)) ?? '';
  }

  #insistSet(name: string, value: string | undefined): string | undefined {
    const mayBeUnset = name === '@' || name === '*' || !this.#host.state.options.nounset;
    if (value === undefined && !mayBeUnset) throw new ShellError(`${name}: parameter not set`);
    return value;
  }

  #joiner(): string {
    return (this.#host.state.get('IFS') ?? ' ').slice(0, 1);
  }

  #flags(): string {
    const { errexit, noglob, nounset, xtrace } = this.#host.state.options;
    return `${errexit ? 'e' : ''}${noglob ? 'f' : ''}${nounset ? 'u' : ''}${xtrace ? 'x' : ''}`;
  }
}

function isAllSeparately(part: WordPart): boolean {
  if (part.type === 'SimpleExpansion') return part.text === '$@';
  return (
    part.type === 'ParameterExpansion' &&
    part.parameter === '@' &&
    part.operation === undefined &&
    part.prefix === undefined
  );
}

function isAllParameters(part: WordPart): boolean {
  return isAllSeparately(part) || (part.type === 'SimpleExpansion' && part.text === '$*');
}
