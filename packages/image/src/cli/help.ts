import { COMMON_OPTIONS, type Verb, type VerbOption } from './verb.js';

const PROGRAM = 'microvm-image';

/** The text of `microvm-image --help`. */
export function helpOfAll(verbs: Readonly<Record<string, Verb>>): string {
  const width = Math.max(...Object.keys(verbs).map((name) => name.length));
  const lines = Object.entries(verbs).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`);
  return `Usage: ${PROGRAM} VERB [ARGUMENTS] [OPTIONS]

Images that microVMs are made from.

${lines.join('\n')}

${PROGRAM} VERB --help says more about one of them.
Exit codes: 0 done; 1 failed, or \`verify\` found damage; 2 a wrong call; 130 interrupted.
`;
}

/** The text of `microvm-image VERB --help`. */
export function helpOf(name: string, verb: Verb): string {
  const options = Object.entries({ ...verb.options, ...COMMON_OPTIONS });
  const width = Math.max(...options.map((option) => flag(option).length));
  const lines = options.map((option) => `  ${flag(option).padEnd(width)}  ${option[1].about}`);
  const usage = [PROGRAM, name, verb.usage, '[OPTIONS]'].filter((part) => part !== '').join(' ');
  const notes = verb.notes === undefined ? '' : `\n${verb.notes.join('\n')}\n`;
  return `Usage: ${usage}\n\n${sentence(verb.about)}\n${notes}\n${lines.join('\n')}\n`;
}

function flag([name, { value }]: [string, VerbOption]): string {
  return value === undefined ? `--${name}` : `--${name} ${value}`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
