import { z } from 'zod';
import { parseSchema } from './parse.js';
import { MIB } from './units.js';

/** What the environment of a VM may take in all: each variable costs its name, its value and two bytes. */
export const ENVIRONMENT_MAX_BYTES = MIB;
const MAX_VARIABLES = 8192;
/** MAX_ARG_STRLEN of Linux, without the NUL: a longer string fails every execve(2) with E2BIG. */
const MAX_VARIABLE_BYTES = 128 * 1024 - 1;

/** The environment of a VM: what its commands get over the guest's defaults. */
export type Environment = Readonly<Record<string, string>>;

/** Changes of an environment: a value is set, `null` removes a variable. */
export type EnvironmentUpdate = Readonly<Record<string, string | null>>;

// The texts of errors name a variable at most, never a value.
const nameSchema = z.string().regex(/^[^=\0]+$/, 'a name without "=" and NUL');
const valueSchema = z.string().regex(/^[^\0]*$/, 'a string without NUL');

/** Schema of an environment. */
export const environmentSchema = z
  .record(nameSchema, valueSchema)
  .refine((env) => environmentProblem(env) === undefined, {
    error: ({ input }) => environmentProblem(input as Environment),
  });

const environmentUpdateSchema = z
  .record(nameSchema, valueSchema.nullable())
  .refine((env) => environmentProblem(env) === undefined, {
    error: ({ input }) => environmentProblem(input as EnvironmentUpdate),
  });

/** What an environment that is too large may have at most; undefined for one that is not. */
export function environmentProblem(env: EnvironmentUpdate): string | undefined {
  const entries = Object.entries(env);
  if (entries.length > MAX_VARIABLES) return `at most ${MAX_VARIABLES} variables`;
  if (entries.some(([name, value]) => stringBytes(name, value) > MAX_VARIABLE_BYTES))
    return `variables of at most ${MAX_VARIABLE_BYTES} bytes each, as "NAME=value"`;
  return environmentBytes(env) > ENVIRONMENT_MAX_BYTES
    ? `at most ${ENVIRONMENT_MAX_BYTES} bytes of names and values`
    : undefined;
}

/** What the variables take as strings of a process: `NAME=value` and a NUL each. */
export function environmentBytes(env: EnvironmentUpdate): number {
  return Object.entries(env).reduce((sum, [name, value]) => sum + stringBytes(name, value) + 1, 0);
}

function stringBytes(name: string, value: string | null): number {
  return Buffer.byteLength(name) + 1 + Buffer.byteLength(value ?? '');
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function parseEnvironmentUpdate(value: unknown, path: string): EnvironmentUpdate {
  return parseSchema(environmentUpdateSchema, value, path);
}

/** The environment with its changes. */
export function changedEnvironment(env: Environment, changes: EnvironmentUpdate): Environment {
  const entries = Object.entries({ ...env, ...changes });
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null));
}
