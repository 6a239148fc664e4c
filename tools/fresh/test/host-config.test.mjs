import { expect, test } from 'vitest';
import { acquireOptions, mirrorIn, registryEnvironment } from '../host-config.mjs';

test('the mirror is that of Debian 12 itself', () => {
  const targets =
    'bookworm-updates http://one/debian/\nbookworm http://two/debian/\nbookworm http://three/\n';
  expect(mirrorIn(targets)).toBe('http://two/debian/');
  expect(mirrorIn('trixie http://one/debian/\n')).toBeUndefined();
});

test('of apt only the way to its sources is taken along, no hook', () => {
  const dump = [
    'APT "";',
    'DPkg::Post-Invoke:: "test -e /host/only";',
    'Acquire "";',
    'Acquire::http::Proxy "http://proxy:3128";',
    'Acquire::Languages:: "none";',
  ].join('\n');
  expect(acquireOptions(dump)).toBe(
    'Acquire::http::Proxy "http://proxy:3128";\nAcquire::Languages:: "none";\n',
  );
});

test('of the environment only proxies and npm settings are taken along', () => {
  const env = { https_proxy: 'p', NPM_CONFIG_REGISTRY: 'r', CXX: 'c', PATH: '/bin', NO_PROXY: 'n' };
  expect(registryEnvironment(env)).toEqual({ https_proxy: 'p', NPM_CONFIG_REGISTRY: 'r', NO_PROXY: 'n' });
});
