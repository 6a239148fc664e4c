import type { Process } from '../process/process.js';
import { eachInput } from './inputs.js';
import { optionsOf, UsageError } from './options.js';
import type { Program } from './registry.js';
import { SedParser, type Address, type SedCommand, type Substitution } from './sed-script.js';

const MOST_STEPS = 1_000_000;

/** What becomes of the line that is worked on. */
type Flow = 'next' | 'deleted' | 'again' | 'quit' | 'quit-quietly' | { readonly label: string };

/** Runs a script over lines, the last of which it knows. */
class Sed {
  readonly #process: Process;
  readonly #commands: readonly SedCommand[];
  readonly #isQuiet: boolean;
  readonly #write: (text: string) => Promise<void>;
  #pattern = '';
  #held = '';
  #line = 0;
  #isLast = false;
  #hasReplaced = false;
  #appended: string[] = [];
  #nextLine: () => Promise<string | undefined> = async () => undefined;
  exitCode = 0;
  isOver = false;

  constructor(
    process: Process,
    commands: readonly SedCommand[],
    how: { readonly isQuiet: boolean; readonly write: (text: string) => Promise<void> },
  ) {
    this.#process = process;
    this.#commands = commands;
    this.#isQuiet = how.isQuiet;
    this.#write = how.write;
  }

  async run(lines: AsyncIterator<string>): Promise<void> {
    let ahead = await lines.next();
    this.#nextLine = async () => {
      if (ahead.done === true) return undefined;
      const { value } = ahead;
      ahead = await lines.next();
      this.#line += 1;
      this.#isLast = ahead.done === true;
      return value;
    };
    for (let line = await this.#nextLine(); line !== undefined && !this.isOver;) {
      this.#pattern = line;
      this.#hasReplaced = false;
      let flow = await this.#from(this.#commands);
      while (flow === 'again') flow = await this.#from(this.#commands);
      if (flow !== 'deleted' && flow !== 'quit-quietly' && !this.#isQuiet)
        await this.#write(`${this.#pattern}\n`);
      await this.#flush();
      if (flow === 'quit' || flow === 'quit-quietly') this.isOver = true;
      if (!this.isOver) line = await this.#nextLine();
    }
  }

  async #flush(): Promise<void> {
    for (const text of this.#appended.splice(0)) await this.#write(text);
  }

  /** Runs the commands; a jump goes on behind its label, or ends the script for this line. */
  async #from(commands: readonly SedCommand[]): Promise<Flow> {
    let steps = 0;
    let flow = await this.#list(commands);
    while (typeof flow === 'object') {
      if ((steps += 1) > MOST_STEPS) throw new UsageError('a jump without an end');
      await this.#process.system.breathe(this.#process.signal);
      const { label } = flow;
      if (label === '') return 'next';
      const at = commands.findIndex(({ name, text }) => name === ':' && text === label);
      if (at < 0) throw new UsageError(`no label ${label}`);
      flow = await this.#list(commands.slice(at + 1));
    }
    return flow;
  }

  async #list(commands: readonly SedCommand[]): Promise<Flow> {
    for (const command of commands) {
      if (this.#applies(command) === command.isNegated) continue;
      const flow = await this.#perform(command);
      if (flow !== 'next') return flow;
    }
    return 'next';
  }

  #matches(address: Address): boolean {
    switch (address.kind) {
      case 'line':
        return this.#line === address.line;
      case 'step':
        return this.#line >= address.first && (this.#line - address.first) % Math.max(1, address.step) === 0;
      case 'last':
        return this.#isLast;
      case 'match':
        return new RegExp(address.expression).test(this.#pattern);
    }
  }

  #applies(command: SedCommand): boolean {
    const [first, last] = command.addresses;
    if (first === undefined) return true;
    if (last === undefined) return this.#matches(first);
    const isPast = last.kind === 'line' && this.#line >= last.line;
    if (!command.isOpen) {
      if (!this.#matches(first)) return false;
      command.isOpen = !isPast;
      return true;
    }
    if (isPast || (last.kind !== 'line' && this.#matches(last))) command.isOpen = false;
    return !(last.kind === 'line' && this.#line > last.line);
  }

  async #perform(command: SedCommand): Promise<Flow> {
    const { name } = command;
    switch (name) {
      case '{':
        return this.#list(command.body ?? []);
      case 's':
        if (command.substitution !== undefined) await this.#substitute(command.substitution);
        return 'next';
      case 'y':
        this.#pattern = [...this.#pattern].map((char) => command.map?.get(char) ?? char).join('');
        return 'next';
      case 'd':
        return 'deleted';
      case 'D': {
        const at = this.#pattern.indexOf('\n');
        if (at < 0) return 'deleted';
        this.#pattern = this.#pattern.slice(at + 1);
        return 'again';
      }
      case 'p':
        await this.#write(`${this.#pattern}\n`);
        return 'next';
      case 'P':
        await this.#write(`${this.#pattern.split('\n')[0] ?? ''}\n`);
        return 'next';
      case '=':
        await this.#write(`${this.#line}\n`);
        return 'next';
      default:
        return this.#edit(command);
    }
  }

  async #edit(command: SedCommand): Promise<Flow> {
    const { name, text } = command;
    switch (name) {
      case 'a':
        this.#appended.push(`${text}\n`);
        return 'next';
      case 'i':
        await this.#write(`${text}\n`);
        return 'next';
      case 'c':
        if (command.addresses.length < 2 || !command.isOpen) await this.#write(`${text}\n`);
        return 'deleted';
      case 'q':
      case 'Q':
        this.exitCode = Number(text) & 0xff;
        return name === 'q' ? 'quit' : 'quit-quietly';
      case 'b':
        return { label: text };
      case 't':
      case 'T': {
        const isTaken = this.#hasReplaced === (name === 't');
        this.#hasReplaced = false;
        return isTaken ? { label: text } : 'next';
      }
      case 'n':
      case 'N':
        return this.#readOn(name);
      default:
        return this.#hold(name, text);
    }
  }

  async #readOn(name: 'n' | 'N'): Promise<Flow> {
    if (name === 'n' && !this.#isQuiet && !this.#isLast) await this.#write(`${this.#pattern}\n`);
    const line = await this.#nextLine();
    if (line === undefined) return 'quit';
    this.#pattern = name === 'n' ? line : `${this.#pattern}\n${line}`;
    return 'next';
  }

  #hold(name: string, text: string): Flow {
    if (name === 'g') this.#pattern = this.#held;
    if (name === 'G') this.#pattern += `\n${this.#held}`;
    if (name === 'h') this.#held = this.#pattern;
    if (name === 'H') this.#held += `\n${this.#pattern}`;
    if (name === 'x') [this.#pattern, this.#held] = [this.#held, this.#pattern];
    if (name === 'z') this.#pattern = '';
    if (name === 'r') {
      const inode = this.#process.files.find(this.#process.path(text));
      if (inode?.kind === 'file') this.#appended.push(inode.text);
    }
    return 'next';
  }

  async #substitute({
    expression,
    replacement,
    from,
    isGlobal,
    isPrinted,
    file,
  }: Substitution): Promise<void> {
    let count = 0;
    let isChanged = false;
    this.#pattern = this.#pattern.replace(new RegExp(expression), (...found: unknown[]) => {
      count += 1;
      const groups = found.slice(
        0,
        found.findIndex((item) => typeof item === 'number'),
      ) as (string | undefined)[];
      const [whole = ''] = groups;
      if (count < from || (count > from && !isGlobal)) return whole;
      isChanged = true;
      return replacementText(replacement, groups);
    });
    if (!isChanged) return;
    this.#hasReplaced = true;
    if (isPrinted) await this.#write(`${this.#pattern}\n`);
    if (file === undefined) return;
    const { files } = this.#process;
    const inode = files.open(this.#process.path(file), { write: true, create: true });
    files.tree.write(inode, inode.size, Buffer.from(`${this.#pattern}\n`, 'latin1'));
  }
}

function replacementText(replacement: string, groups: readonly (string | undefined)[]): string {
  let change: (text: string) => string = (text) => text;
  let result = '';
  for (const [piece] of replacement.matchAll(/\\[^]|&|[^\\&]+/g)) {
    if (piece === '&') result += change(groups[0] ?? '');
    else if (/^\\\d$/.test(piece)) result += change(groups[Number(piece[1])] ?? '');
    else if (piece === '\\n') result += '\n';
    else if (piece === '\\t') result += '\t';
    else if (piece === '\\U') change = (text) => text.toUpperCase();
    else if (piece === '\\L') change = (text) => text.toLowerCase();
    else if (piece === '\\E') change = (text) => text;
    else result += change(piece.startsWith('\\') ? piece.slice(1) : piece);
  }
  return result;
}

export const sed: Program = async (process) => {
  // There may be several scripts.
  const scripts: string[] = [];
  const args = process.args.flatMap((arg, index, all) => {
    if (arg === '-e') return [];
    if (all[index - 1] !== '-e') return [arg];
    scripts.push(arg);
    return [];
  });
  const { operands, flags, values } = optionsOf({ args }, 'nErisuf:', {
    'in-place': 'i',
    quiet: 'n',
    'regexp-extended': 'E',
  });
  const listed = values.get('f');
  if (listed !== undefined) scripts.push(process.files.readFile(process.path(listed)).toString());
  const [own] = scripts.length === 0 ? operands : [];
  const paths = own === undefined ? operands : operands.slice(1);
  if (own !== undefined) scripts.push(own);
  if (scripts.length === 0) throw new UsageError('a script is missing');
  const commands = new SedParser(scripts.join('\n'), flags.has('E') || flags.has('r')).parse();
  const isQuiet = flags.has('n');
  let exitCode = 0;
  if (!flags.has('i')) {
    const texts: AsyncIterable<string>[] = [];
    const sedOver = new Sed(process, commands, { isQuiet, write: (text) => process.writeBytes(text) });
    const status = await eachInput(process, paths, async (file) => {
      // Addresses count the lines of all files, unless the last one is to be known before the next opens.
      if (paths.length < 2) await sedOver.run(process.lines(file));
      else texts.push(linesOf(await process.readAll(file)));
    });
    if (paths.length > 1) await sedOver.run(chained(texts));
    return sedOver.exitCode || status;
  }
  const status = await eachInput(process, paths, async (file, name) => {
    let result = '';
    const lines = new SedParser(scripts.join('\n'), flags.has('E') || flags.has('r')).parse();
    const over = new Sed(process, lines, { isQuiet, write: async (text) => void (result += text) });
    await over.run(process.lines(file));
    exitCode ||= over.exitCode;
    process.files.writeFile(process.path(name), Buffer.from(result, 'latin1'));
  });
  return status || exitCode;
};

async function* linesOf(text: string): AsyncGenerator<string> {
  yield* text.replace(/\n$/, '').split('\n');
}

async function* chained(texts: readonly AsyncIterable<string>[]): AsyncGenerator<string> {
  for (const text of texts) yield* text;
}
