import { describe, expect, test } from 'vitest';
import { isInstalled } from '../node-modules.mjs';

const A = { version: '1.0.0', integrity: 'sha512-a' };
const LOCK = {
  packages: {
    '': { name: 'root' },
    'packages/mine': { name: '@microvm/mine', dependencies: { a: '1.0.0' } },
    'node_modules/@microvm/mine': { resolved: 'packages/mine', link: true },
    'node_modules/a': A,
    'packages/mine/node_modules/a': { version: '2.0.0', integrity: 'sha512-b' },
    'node_modules/other-platform': { version: '1.0.0', optional: true },
  },
};

/** What npm writes after an installation of LOCK, with changes; undefined removes a package. */
function installed(changes = {}) {
  const { '': _root, 'packages/mine': _mine, 'node_modules/other-platform': _other, ...rest } = LOCK.packages;
  const packages = { ...rest, ...changes };
  return {
    packages: Object.fromEntries(Object.entries(packages).filter(([, value]) => value !== undefined)),
  };
}

test('what the lock file says is installed, without packages for other platforms', () => {
  expect(isInstalled(LOCK, installed())).toBe(true);
});

test('a package that is installed besides does not matter', () => {
  expect(isInstalled(LOCK, installed({ 'node_modules/extra': A }))).toBe(true);
});

describe('something has to be installed', () => {
  test.each([
    ['no installation, or one that was killed', undefined],
    ['a missing package', installed({ 'node_modules/a': undefined })],
    ['a missing workspace', installed({ 'node_modules/@microvm/mine': undefined })],
    ['a workspace that moved', installed({ 'node_modules/@microvm/mine': { resolved: 'x', link: true } })],
    ['another version', installed({ 'node_modules/a': { ...A, version: '1.0.1' } })],
    ['other content', installed({ 'node_modules/a': { ...A, integrity: 'sha512-c' } })],
    ['another version for one workspace', installed({ 'packages/mine/node_modules/a': A })],
    ['a file that is something else', {}],
  ])('after %s', (_name, found) => {
    expect(isInstalled(LOCK, found)).toBe(false);
  });
});
