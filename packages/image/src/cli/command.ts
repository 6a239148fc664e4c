import { parseArgs } from 'node:util';
import { isVmRuntimeError, printable } from '@microvm/runtime';
import { openImages } from '../images/local-images.js';
import { systemCode } from '../host/system-error.js';
import { helpOf, helpOfAll } from './help.js';
import { createProgressBar, type ProgressStream } from './progress-bar.js';
import { parseConfig, pathOf, UsageError, type Verb, type VerbInput, type VerbOutput } from './verb.js';
import { VERBS } from './verbs.js';

const FAILED = 1;
const WRONG_CALL = 2;
const INTERRUPTED = 130;

/** Where a command writes to, and what ends it. */
export interface CommandSurroundings {
  readonly stdout: Pick<NodeJS.WriteStream, 'write'>;
  readonly stderr: ProgressStream;
  readonly signal: AbortSignal;
}

/** Runs `microvm-image` with these arguments. Answers the exit code; never rejects. */
export async function runCommand(argv: readonly string[], around: CommandSurroundings): Promise<number> {
  try {
    const [name, ...rest] = argv;
    return await runVerb(name, rest, around);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const remedy = isVmRuntimeError(error) ? `\nwhat to do: ${error.remedy}` : '';
    around.stderr.write(forTerminal(`microvm-image: ${text}${remedy}\n`));
    return around.signal.aborted ? INTERRUPTED : isWrongCall(error) ? WRONG_CALL : FAILED;
  }
}

async function runVerb(
  name: string | undefined,
  argv: readonly string[],
  around: CommandSurroundings,
): Promise<number> {
  const print = (text: string): number => {
    around.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
    return 0;
  };
  if (name === '--help' || name === 'help') return print(helpOfAll(VERBS));
  const verb = name !== undefined && Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (name === undefined || verb === undefined) {
    const what = name === undefined ? 'which verb?' : `no verb "${name}"`;
    throw new UsageError(`${what} There are: ${Object.keys(VERBS).join(', ')}`);
  }
  const { values, positionals } = parseArgs({
    args: [...argv],
    options: parseConfig(verb.options),
    allowPositionals: true,
  });
  if (values['help'] === true) return print(helpOf(name, verb));
  if (positionals.length < verb.minArgs || positionals.length > verb.maxArgs) {
    throw new UsageError(`usage: microvm-image ${name} ${verb.usage}`);
  }
  const output = await run(verb, { values, args: positionals }, around);
  print(values['json'] === true ? JSON.stringify(output.json, null, 2) : forTerminal(output.text));
  return output.exitCode ?? 0;
}

async function run(
  verb: Verb,
  { values, args }: Pick<VerbInput, 'values' | 'args'>,
  { stderr, signal }: CommandSurroundings,
): Promise<VerbOutput> {
  const bar = createProgressBar(stderr);
  try {
    const images = openImages({ imageStore: pathOf(values, 'store') });
    const onProgress = values['quiet'] === true ? (): void => {} : bar.update;
    return await verb.run({ values, args, images, signal, onProgress });
  } finally {
    bar.stop();
  }
}

/** Lines as they are, without anything else in them that a terminal acts on: images are made by strangers. */
function forTerminal(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, Infinity))
    .join('\n');
}

function isWrongCall(error: unknown): boolean {
  return (
    error instanceof UsageError ||
    isVmRuntimeError(error, 'MICROVM_INVALID_ARGUMENT') ||
    systemCode(error)?.startsWith('ERR_PARSE_ARGS_') === true
  );
}
