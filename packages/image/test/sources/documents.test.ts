import { expect, test } from 'vitest';
import { configSchema, imageConfigOf } from '../../src/sources/documents.js';

const ORIGIN = { source: 'test', entry: 'config' };
const BASE = { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } };

function configOf(config: unknown): ReturnType<typeof imageConfigOf> {
  return imageConfigOf(configSchema.parse({ ...BASE, config }), ORIGIN);
}

test('a config says what commands get', () => {
  const config = configOf({
    Env: ['PATH=/bin', 'EMPTY=', 'EQUALS=a=b', 'NOTHING'],
    User: '1000:docker',
    WorkingDir: '/srv',
    Entrypoint: ['/entry'],
    Cmd: ['a', 'b'],
    StopSignal: 'SIGQUIT',
  });
  expect(config).toEqual({
    env: { PATH: '/bin', EMPTY: '', EQUALS: 'a=b' },
    user: '1000:docker',
    workingDir: '/srv',
    entrypoint: ['/entry'],
    cmd: ['a', 'b'],
    stopSignal: 'SIGQUIT',
  });
});

test.each([undefined, null, {}, { Env: null, Entrypoint: null, Cmd: null, StopSignal: '' }])(
  'a config that says nothing is empty: %j',
  (config) => {
    expect(configOf(config)).toEqual({ env: {}, user: '', workingDir: '', entrypoint: [], cmd: [] });
  },
);

test.each([
  ['a NUL in the command', { Cmd: ['a\0b'] }],
  ['a NUL in the environment', { Env: ['A=a\0b'] }],
  ['a variable without a name', { Env: ['=x'] }],
  ['a working directory that is not absolute', { WorkingDir: 'srv' }],
  ['a signal that there is not', { StopSignal: 'SIGNOTHING' }],
  ['a user that no guest can be told', { User: 'u'.repeat(257) }],
  ['a variable that no process can have', { Env: [`A=${'x'.repeat(200_000)}`] }],
])('%s is refused', (_what, config) => {
  expect(() => configOf(config)).toThrow(expect.objectContaining({ code: 'MICROVM_IMAGE_INVALID' }));
});
