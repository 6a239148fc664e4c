import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMON_SETTINGS, ERROR_CODES, ERROR_TRAITS, TRANSITIONS, VM_VERBS } from '../src/index.js';

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

describe('docs/contract.md', () => {
  const text = read('contract.md');
  const documented = new Map(rows(text).map(([verb = '', ...rest]) => [verb.replaceAll('`', ''), rest]));

  it.each(VM_VERBS)('has the transition of %s as the table of the code has it', (verb) => {
    const [from, to] = documented.get(verb) ?? [];
    expect(from?.split(', ').sort()).toEqual([...TRANSITIONS[verb].from].sort());
    expect(to).toBe(TRANSITIONS[verb].to);
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
