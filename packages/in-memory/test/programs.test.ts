import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ALL_PROGRAMS } from '../src/programs/all-programs.js';
import { PROGRAM_NAMES } from '../src/programs/program-names.js';
import { BUILTINS } from '../src/shell/builtins.js';
import { lines, shellGuest } from './shell/shell-guest.js';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

/** The names that stand in a list of the README. */
function listed(title: string): string[] {
  const [, text = ''] = new RegExp(`^- ${title}: ([^]*?)(?=\\n\\n|\\n- |\\n$)`, 'm').exec(README) ?? [];
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

test('the README lists every program of a guest and every builtin of its shell, and no other', () => {
  expect(listed('Programs')).toEqual([...PROGRAM_NAMES]);
  expect(listed('Builtins of the shell')).toEqual(Object.keys(BUILTINS).sort());
});

test('every program that a guest has is built in, and a file of its disk', async () => {
  expect(Object.keys(ALL_PROGRAMS).sort()).toEqual([...PROGRAM_NAMES]);
  const guest = await shellGuest();
  expect((await lines(guest, 'cd /bin; ls -1')).trim().split('\n').sort()).toEqual([...PROGRAM_NAMES].sort());
  expect(await lines(guest, 'for p in *; do [ -x "$p" ] || echo "$p"; done; which grep')).toBe(
    '/usr/bin/grep\n',
  );
});

test('a removed program is gone, and a copy of it works under any name', async () => {
  const guest = await shellGuest();
  expect(
    await lines(guest, 'cp /bin/echo /tmp/say; rm /bin/tac; /tmp/say yes; tac < /dev/null; echo $?'),
  ).toBe('yes\n127\nsh: tac: not found\n');
});
