import { describe, expect, test } from 'vitest';
import { normalName, parseReference } from '../../src/images/reference.js';

const DIGEST = `sha256:${'0'.repeat(64)}`;

test.each([
  ['debian', 'debian:latest'],
  ['debian:12', 'debian:12'],
  ['docker.io/library/debian', 'debian:latest'],
  ['docker.io/me/app:1', 'me/app:1'],
  ['index.docker.io/me/app', 'me/app:latest'],
  ['localhost:5000/app', 'localhost:5000/app:latest'],
  ['registry.example/a/b__c/d-e.f:v1.0_x', 'registry.example/a/b__c/d-e.f:v1.0_x'],
  [`app@${DIGEST}`, `app@${DIGEST}`],
  [`app:1@${DIGEST}`, `app@${DIGEST}`],
])('%s is %s', (text, name) => {
  expect(normalName(text)).toBe(name);
  expect(normalName(name)).toBe(name);
});

describe('no name of an image:', () => {
  test.each([
    '',
    'Debian',
    '../etc',
    'a//b',
    'a:',
    ':a',
    'a b',
    'a:-x',
    'app@sha256:12',
    '-a',
    'x'.repeat(256),
  ])('%j', (text) => {
    expect(() => normalName(text)).toThrow(expect.objectContaining({ code: 'MICROVM_INVALID_ARGUMENT' }));
  });
});

test('a digest stands for itself', () => {
  expect(parseReference(DIGEST)).toEqual({ kind: 'digest', digest: DIGEST });
  expect(parseReference('app')).toEqual({ kind: 'name', name: 'app:latest' });
});
