import type { OpenFile } from '../process/open-file.js';
import type { Builtin } from './builtins.js';
import { OPTION_LETTERS, type ShellOptions } from './shell-state.js';
import type { Shell } from './shell.js';

const NAME = /^[A-Za-z_]\w*$/;

async function say(shell: Shell, text: string): Promise<number> {
  await shell.state.descriptors.get(1)?.write(Buffer.from(text), shell.process.signal);
  return 0;
}

async function wrong(shell: Shell, message: string, status = 2): Promise<number> {
  await shell.complain(message);
  return status;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** `name`, `name=value` or `name+=value`; undefined where it is none of these. */
function splitAssignment(
  text: string,
): { name: string; value: string | undefined; isAppended: boolean } | undefined {
  const [, name, operator, value] = /^([A-Za-z_]\w*)(?:(\+?=)([^]*))?$/.exec(text) ?? [];
  return name === undefined ? undefined : { name, value, isAppended: operator === '+=' };
}

/** `export` and `readonly`. */
const marks =
  (mark: 'isExported' | 'isReadOnly'): Builtin =>
  async (shell, [builtin, ...args]) => {
    const { state } = shell;
    const isUndone = args[0] === '-n';
    const names = args.filter((arg) => arg !== '-p' && arg !== '-n');
    if (names.length === 0) {
      for (const [name, variable] of [...state.variables].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const value = variable.value === undefined ? '' : `=${quote(variable.value)}`;
        if (variable[mark]) await say(shell, `${builtin} ${name}${value}\n`);
      }
      return 0;
    }
    for (const arg of names) {
      const assignment = splitAssignment(arg);
      if (assignment === undefined) return wrong(shell, `${builtin}: ${arg}: bad variable name`);
      const { name, value, isAppended } = assignment;
      if (value !== undefined) state.set(name, isAppended ? (state.get(name) ?? '') + value : value);
      state.declare(name)[mark] = !isUndone;
    }
    return 0;
  };

const local: Builtin = async (shell, [, ...args]) => {
  const { state } = shell;
  for (const arg of args) {
    const assignment = splitAssignment(arg);
    if (assignment === undefined) return wrong(shell, `local: ${arg}: bad variable name`);
    if (!state.makeLocal(assignment.name)) return wrong(shell, 'local: not in a function');
    if (assignment.value !== undefined) state.set(assignment.name, assignment.value);
  }
  return 0;
};

const unset: Builtin = async (shell, [, ...args]) => {
  const { state } = shell;
  const isFunction = args[0] === '-f';
  for (const name of args.filter((arg) => arg !== '-f' && arg !== '-v')) {
    if (isFunction) state.functions.delete(name);
    else if (state.variables.get(name)?.isReadOnly === true)
      return wrong(shell, `unset: ${name}: is read only`);
    else if (!state.variables.delete(name)) state.functions.delete(name);
  }
  return 0;
};

const set: Builtin = async (shell, [, ...args]) => {
  const { state } = shell;
  if (args.length === 0) {
    for (const [name, { value }] of [...state.variables].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (value !== undefined) await say(shell, `${name}=${quote(value)}\n`);
    }
    return 0;
  }
  const rest = [...args];
  while (rest.length > 0 && /^[-+]./.test(rest[0] ?? '')) {
    const option = rest.shift() ?? '';
    if (option === '--') {
      state.parameters = rest;
      return 0;
    }
    const names =
      option.slice(1) === 'o'
        ? [rest.shift() ?? '']
        : [...option.slice(1)].map((letter) => OPTION_LETTERS[letter] ?? '');
    for (const name of names) {
      if (!Object.hasOwn(state.options, name)) return wrong(shell, `set: unknown option ${option} ${name}`);
      state.options[name as keyof ShellOptions] = option.startsWith('-');
    }
  }
  if (rest.length > 0) state.parameters = rest;
  return 0;
};

const shift: Builtin = async (shell, [, count = '1']) => {
  const { state } = shell;
  const places = Number(count);
  if (!(places >= 0) || places > state.parameters.length)
    return wrong(shell, `shift: can't shift that many`, 1);
  state.parameters = state.parameters.slice(places);
  return 0;
};

/** One line, byte by byte: what is behind it is for the next reader. Undefined at the end of the input. */
async function readLine(
  shell: Shell,
  file: OpenFile,
  isRaw: boolean,
): Promise<{ line: string; isWhole: boolean }> {
  const bytes: number[] = [];
  let isEscaped = false;
  for (;;) {
    const [byte] = (await file.read({ max: 1, signal: shell.process.signal })) ?? [];
    if (byte === undefined) return { line: Buffer.from(bytes).toString(), isWhole: false };
    const char = String.fromCharCode(byte);
    if (isEscaped) {
      isEscaped = false;
      if (char !== '\n') bytes.push(0x5c, byte);
    } else if (char === '\\' && !isRaw) {
      isEscaped = true;
    } else if (char === '\n') {
      return { line: Buffer.from(bytes).toString(), isWhole: true };
    } else {
      bytes.push(byte);
    }
  }
}

const read: Builtin = async (shell, [, ...args]) => {
  const { state } = shell;
  const names = [...args];
  let isRaw = false;
  while (names[0]?.startsWith('-') === true) {
    const option = names.shift() ?? '';
    if (option === '-r') isRaw = true;
    else if (option === '-p')
      await state.descriptors.get(2)?.write(Buffer.from(names.shift() ?? ''), shell.process.signal);
    else return wrong(shell, `read: unknown option ${option}`);
  }
  const bad = names.find((name) => !NAME.test(name));
  if (bad !== undefined) return wrong(shell, `read: ${bad}: bad variable name`);
  const file = state.descriptors.get(0);
  if (file === undefined) return 1;
  const { line, isWhole } = await readLine(shell, file, isRaw);
  assignFields(shell, line, names.length === 0 ? ['REPLY'] : names, isRaw);
  return isWhole ? 0 : 1;
};

/** Splits a line at `IFS`; the last name gets all that is left. A backslash keeps the next character. */
function assignFields({ state }: Shell, line: string, names: readonly string[], isRaw: boolean): void {
  const separators = state.get('IFS') ?? ' \t\n';
  const isSeparator = (char: string): boolean => separators.includes(char);
  const isBlank = (char: string): boolean => isSeparator(char) && ' \t\n'.includes(char);
  const chars: { char: string; isKept: boolean }[] = [];
  for (let at = 0; at < line.length; at += 1) {
    const isEscape = !isRaw && line[at] === '\\';
    if (isEscape) at += 1;
    chars.push({ char: line[at] ?? '', isKept: isEscape });
  }
  const skipBlanks = (): void => {
    while (chars[0] !== undefined && !chars[0].isKept && isBlank(chars[0].char)) chars.shift();
  };
  skipBlanks();
  names.forEach((name, index) => {
    let text = '';
    if (index === names.length - 1) {
      for (
        let last = chars.at(-1);
        last !== undefined && !last.isKept && isBlank(last.char);
        last = chars.at(-1)
      ) {
        chars.pop();
      }
      text = chars.map(({ char }) => char).join('');
    } else {
      while (chars[0] !== undefined && (chars[0].isKept || !isSeparator(chars[0].char)))
        text += chars.shift()?.char ?? '';
      skipBlanks();
      if (chars[0] !== undefined && !chars[0].isKept && isSeparator(chars[0].char) && text !== '') {
        if (!isBlank(chars[0].char)) chars.shift();
        skipBlanks();
      }
    }
    state.set(name, text);
  });
}

const getopts: Builtin = async (shell, [, options = '', name = '', ...args]) => {
  const { state } = shell;
  const words = args.length > 0 ? args : state.parameters;
  const index = Number(state.get('OPTIND') ?? '1');
  const place = state.optionPlace.index === index ? state.optionPlace.place : 1;
  const word = words[index - 1];
  const letter = word?.[place];
  if (word === undefined || !word.startsWith('-') || word === '-' || word === '--' || letter === undefined) {
    if (word === '--') state.set('OPTIND', String(index + 1));
    state.set(name, '?');
    return 1;
  }
  const at = letter === ':' ? -1 : options.indexOf(letter);
  const isEnd = place + 1 >= word.length;
  const advance = (by: number): void => void state.set('OPTIND', String(index + by));
  state.optionPlace = isEnd ? { index: index + 1, place: 1 } : { index, place: place + 1 };
  if (isEnd) advance(1);
  state.variables.delete('OPTARG');
  if (at >= 0 && options[at + 1] === ':') {
    const value = isEnd ? words[index] : word.slice(place + 1);
    state.optionPlace = { index: index + (isEnd ? 2 : 1), place: 1 };
    advance(isEnd ? 2 : 1);
    if (value === undefined) return optionError(shell, { options, name, letter, text: 'argument expected' });
    state.set('OPTARG', value);
  } else if (at < 0) {
    return optionError(shell, { options, name, letter, text: 'unknown option' });
  }
  state.set(name, letter);
  return 0;
};

async function optionError(
  shell: Shell,
  { options, name, letter, text }: { options: string; name: string; letter: string; text: string },
): Promise<number> {
  const isQuiet = options.startsWith(':');
  shell.state.set(name, isQuiet && text === 'argument expected' ? ':' : '?');
  if (isQuiet) shell.state.set('OPTARG', letter);
  else await shell.complain(`${text}: -${letter}`);
  return 0;
}

/** The builtins of a shell that work on its variables and parameters. */
export const VARIABLE_BUILTINS: Readonly<Record<string, Builtin>> = {
  export: marks('isExported'),
  getopts,
  local,
  read,
  readonly: marks('isReadOnly'),
  set,
  shift,
  unset,
};
