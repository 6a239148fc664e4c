import { closest } from 'fastest-levenshtein';
import type { z } from 'zod';
import { deepFreeze } from './deep-freeze.js';
import { invalidArgument } from './errors.js';

interface Problem {
  readonly path: string;
  readonly expected: string;
}

function unknownKeyProblem(schema: z.ZodType, key: string, at: string): Problem {
  const shape = 'shape' in schema ? Object.keys(schema.shape as object) : [];
  const guess = shape.length === 0 ? undefined : closest(key, shape);
  const hint = guess === undefined ? '' : `; did you mean "${guess}"?`;
  return { path: at === '' ? key : `${at}.${key}`, expected: `no such key${hint}` };
}

function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType {
  let current: unknown = schema;
  for (const step of path) {
    while (isWrapper(current)) current = current.unwrap();
    if (typeof current !== 'object' || current === null) break;
    if (typeof step === 'number' && 'element' in current) current = current.element;
    else if ('shape' in current) current = (current.shape as Record<PropertyKey, unknown>)[step];
  }
  while (isWrapper(current)) current = current.unwrap();
  return current as z.ZodType;
}

function isWrapper(value: unknown): value is { unwrap(): unknown } {
  return typeof value === 'object' && value !== null && 'unwrap' in value && !('element' in value);
}

function join(base: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, step) =>
      typeof step === 'number' ? `${text}[${step}]` : text === '' ? String(step) : `${text}.${String(step)}`,
    base,
  );
}

function firstProblem(schema: z.ZodType, error: z.ZodError, at: string): Problem {
  const issue = error.issues[0];
  if (issue === undefined) return { path: at, expected: 'a valid value' };
  const path = join(at, issue.path);
  if (issue.code === 'unrecognized_keys') {
    return unknownKeyProblem(schemaAt(schema, issue.path), issue.keys[0] ?? '', path);
  }
  return { path, expected: issue.message.replace(/^(Invalid input: expected|Too \w+: expected) /, '') };
}

/**
 * Finds a value with a key of its own named `__proto__`, which a copy of the object would lose silently.
 * Looks into plain objects and arrays only, because nothing else is copied.
 */
function reservedKeyIn(
  value: unknown,
  path: readonly PropertyKey[] = [],
  seen = new Set<unknown>(),
): readonly PropertyKey[] | undefined {
  if (!isPlain(value) || seen.has(value)) return undefined;
  seen.add(value);
  if (Object.hasOwn(value, '__proto__')) return [...path, '__proto__'];
  for (const [key, inner] of Object.entries(value)) {
    const found = reservedKeyIn(inner, [...path, Array.isArray(value) ? Number(key) : key], seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return Array.isArray(value) || prototype === Object.prototype || prototype === null;
}

/**
 * Checks a value against a strict schema and returns a frozen copy. Throws `MICROVM_INVALID_ARGUMENT` that
 * names the path, what was expected there and, for an unknown key, the known one that is closest.
 */
export function parseSchema<T extends z.ZodType>(
  schema: T,
  value: unknown,
  at: string,
  check?: (parsed: z.output<T>) => Problem | undefined,
): z.output<T> {
  const reserved = reservedKeyIn(value);
  if (reserved !== undefined) throw invalidArgument(join(at, reserved), 'another key than "__proto__"');
  const result = schema.safeParse(value);
  if (!result.success) {
    const { path, expected } = firstProblem(schema, result.error, at);
    throw invalidArgument(path, expected);
  }
  const problem = check?.(result.data);
  if (problem !== undefined) throw invalidArgument(join(at, [problem.path]), problem.expected);
  return deepFreeze(result.data);
}
