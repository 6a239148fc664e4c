import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  COMMON_SETTINGS,
  ERROR_CODES,
  ERROR_TRAITS,
  LIFECYCLE_STEPS,
  TRANSITIONS,
  VM_VERBS,
  type JobKind,
} from '../src/index.js';

function read(name: string): string {
  return readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
}

/** The cells of every row of the document's tables whose first cell is code. */
function rows(text: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
}

describe('docs/errors.md', () => {
  const documented = new Map(
    rows(read('errors.md')).map(([code = '', ...rest]) => [code.replaceAll('`', ''), rest]),
  );

  it('lists every code and no other', () => {
    expect([...documented.keys()].sort()).toEqual([...ERROR_CODES].sort());
  });

  it.each(ERROR_CODES)('says of %s what the code says', (code) => {
    const [retryable, , remedy] = documented.get(code) ?? [];
    expect(retryable).toBe(ERROR_TRAITS[code].retryable ? 'yes' : 'no');
    expect(remedy).toBe(ERROR_TRAITS[code].remedy);
  });
});

/** The part of a document under one heading. */
function section(text: string, heading: string): string {
  const [, found = ''] = text.split(`\n## ${heading}\n`);
  return found.split('\n## ')[0] ?? '';
}

function byName(text: string): Map<string, string[]> {
  return new Map(rows(text).map(([name = '', ...rest]) => [name.replaceAll('`', ''), rest]));
}

describe('docs/contract.md', () => {
  const text = read('contract.md');
  const transitions = byName(section(text, 'States'));
  const outcomes = byName(section(text, 'Jobs'));
  const kinds = Object.keys(LIFECYCLE_STEPS) as JobKind[];

  it.each(VM_VERBS)('has the transition of %s as the table of the code has it', (verb) => {
    const [from, to] = transitions.get(verb) ?? [];
    expect(from?.split(', ').sort()).toEqual([...TRANSITIONS[verb].from].sort());
    expect(to).toBe(TRANSITIONS[verb].to);
  });

  it('says of every kind of job, and of no other, what becomes of it when it breaks off', () => {
    expect([...outcomes.keys()].sort()).toEqual([...kinds].sort());
  });

  it.each(kinds)('names an outcome of %s exactly when it has an intent', (kind) => {
    const [meaning, outcome] = outcomes.get(kind) ?? [];
    expect(meaning).not.toBe('');
    const hasIntent = LIFECYCLE_STEPS[kind].includes(`${kind}:intent`);
    expect(outcome).toMatch(hasIntent ? /^(undone|carried-through|as-found)$/ : /^$/);
  });
});

describe('docs/configuration.md', () => {
  const documented = new Map(rows(read('configuration.md')).map(([option = '', ...rest]) => [option, rest]));

  it.each(COMMON_SETTINGS.map((setting) => [setting.option, setting] as const))(
    'lists %s',
    (_option, setting) => {
      const [env, , fallback, meaning] = documented.get(`\`${setting.option}\``) ?? [];
      expect(env).toBe(setting.env === undefined ? '' : `\`${setting.env}\``);
      expect(fallback).toBe(setting.default);
      expect(meaning).toBe(setting.meaning);
    },
  );
});
