import { resolve } from 'node:path';
import type { ParseArgsConfig } from 'node:util';
import type { LocalImages } from '../images/local-images.js';
import type { OnImageProgress } from '../progress.js';

/** An option of a verb, as parseArgs takes it and the help shows it. */
export interface VerbOption {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  /** What stands for the value in the help, such as `FILE`. */
  readonly value?: string;
  readonly about: string;
}

export type OptionValues = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

export interface VerbInput {
  readonly args: readonly string[];
  readonly values: OptionValues;
  /** Opened with `--store`; nothing is touched before its first call. */
  readonly images: LocalImages;
  readonly signal: AbortSignal;
  readonly onProgress: OnImageProgress;
}

/** What a verb has to say: one of the two is printed. */
export interface VerbOutput {
  readonly json: unknown;
  readonly text: string;
  /** Default 0. */
  readonly exitCode?: number;
}

/** One verb of the command. */
export interface Verb {
  /** Arguments, as the help shows them. */
  readonly usage: string;
  readonly about: string;
  /** Further lines of the help. */
  readonly notes?: readonly string[];
  readonly minArgs: number;
  readonly maxArgs: number;
  readonly options: Readonly<Record<string, VerbOption>>;
  run(input: VerbInput): Promise<VerbOutput>;
}

/** Options that every verb has. */
export const COMMON_OPTIONS: Readonly<Record<string, VerbOption>> = {
  store: {
    type: 'string',
    value: 'FOLDER',
    about: "the images' folder (default: $MICROVM_IMAGE_STORE, $XDG_DATA_HOME/microvm/images)",
  },
  json: { type: 'boolean', about: 'print JSON' },
  quiet: { type: 'boolean', about: 'show no progress' },
  help: { type: 'boolean', about: 'this text' },
};

/** A wrong call of the command. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export function textOf(values: OptionValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
}

/** A path, which may be relative to where the command was called. */
export function pathOf(values: OptionValues, name: string): string | undefined {
  const path = textOf(values, name);
  return path === undefined ? undefined : resolve(path);
}

export function textsOf(values: OptionValues, name: string): readonly string[] | undefined {
  const value = values[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : undefined;
}

/** A number of bytes, also as `512M` or `10G`. */
export function bytesOf(values: OptionValues, name: string): number | undefined {
  const text = textOf(values, name);
  if (text === undefined) return undefined;
  const [, digits, unit = ''] = /^(\d{1,12})([KMGT]?)$/.exec(text) ?? [];
  const bytes = Number(digits) * 1024 ** ' KMGT'.indexOf(unit === '' ? ' ' : unit);
  if (digits !== undefined && Number.isSafeInteger(bytes)) return bytes;
  throw new UsageError(`--${name}: expected a number of bytes, such as 512M, not "${text}"`);
}

/** The options in the form that parseArgs takes. */
export function parseConfig(options: Verb['options']): NonNullable<ParseArgsConfig['options']> {
  const all = Object.entries({ ...options, ...COMMON_OPTIONS });
  return Object.fromEntries(all.map(([name, { type, multiple = false }]) => [name, { type, multiple }]));
}
