import { checkImageConfig, stopSignalName, stopSignalNumber, type ImageConfig } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { decodeSetImage, encodeSetImage } from '../src/image-message.js';
import { ProtocolError } from '../src/protocol.js';
import { scriptedGuest } from './scripted-guest.js';

const EMPTY: ImageConfig = { env: {}, workingDir: '', user: '', entrypoint: [], cmd: [] };
const IMAGE: ImageConfig = {
  env: { A: 'of image', B: 'of image', C: 'of image' },
  workingDir: '/srv',
  user: 'app',
  entrypoint: ['/bin/start'],
  cmd: ['--fast'],
};

describe('what an agent is told of an image', () => {
  it.each<[string, Partial<ImageConfig>]>([
    ['a folder that is not absolute', { workingDir: 'srv' }],
    ['a user that is too long', { user: 'x'.repeat(257) }],
    ['a NUL', { cmd: ['a\0b'] }],
    ['a variable with "="', { env: { 'a=b': 'c' } }],
    ['a variable without a name', { env: { '': 'c' } }],
    ['too many arguments', { cmd: Array.from({ length: 8193 }, () => 'x') }],
    ['too many bytes', { cmd: ['x'.repeat((1 << 20) + (64 << 10))] }],
    ['a signal that Linux does not have', { stopSignal: 'SIGNONE' }],
  ])('is refused with %s', async (_what, change) => {
    const { client } = await scriptedGuest({});
    expect(() => checkImageConfig({ ...EMPTY, ...change }, 'image')).toThrow();
    await expect(client.configure({ image: { ...EMPTY, ...change } })).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
    });
    client.close();
  });

  it('may be as long as its bounds', () => {
    const long = { ...EMPTY, user: 'x'.repeat(256), entrypoint: Array.from({ length: 8192 }, () => 'x') };
    expect(() => checkImageConfig(long, 'image')).not.toThrow();
    expect(decodeSetImage(encodeSetImage(long))).toEqual(long);
  });

  it('is refused by a scripted guest when it breaks the protocol', () => {
    const payload = encodeSetImage(EMPTY);
    payload[payload.length - 1] = 65;
    expect(() => decodeSetImage(payload)).toThrow(ProtocolError);
    expect(() => decodeSetImage(encodeSetImage({ ...EMPTY, workingDir: 'srv' }))).toThrow(ProtocolError);
    expect(() => decodeSetImage(Buffer.concat([encodeSetImage(EMPTY), Buffer.of(0)]))).toThrow(ProtocolError);
  });

  it.each([
    ['SIGTERM', 15],
    ['TERM', 15],
    ['sigquit', 3],
    ['9', 9],
    ['SIGRTMIN+3', 37],
    ['RTMIN', 34],
    ['SIGRTMAX-1', 63],
    ['64', 64],
  ])('has the stop signal %s as %i', (text, number) => {
    expect(stopSignalNumber(text)).toBe(number);
    expect(stopSignalNumber(stopSignalName(number))).toBe(number);
  });

  it.each(['', '0', '65', 'SIGRTMIN+31', 'SIGRTMIN-1', 'SIGRTMAX+1', '1.5', 'SIG', 'KILL9'])(
    'has no stop signal "%s"',
    (text) => expect(stopSignalNumber(text)).toBeUndefined(),
  );
});

describe('a scripted guest of an image', () => {
  const seen: unknown[] = [];
  const guest = () =>
    scriptedGuest({
      exec: ({ argv, env, cwd, user }) => {
        seen.push({ argv, env, cwd, user });
        return 0;
      },
    });

  it('gives its commands what they leave to the image', async () => {
    const { client } = await guest();
    await client.configure({ image: IMAGE, env: { B: 'of vm', C: 'of vm' } });
    await client.exec({ env: { C: 'of command' } }).result;
    await client.exec({ argv: ['true'], cwd: '/', user: 0 }).result;
    const env = { A: 'of image', B: 'of vm', C: 'of command' };
    expect(seen.splice(0)).toEqual([
      { argv: ['/bin/start', '--fast'], env, cwd: '/srv', user: 'app' },
      { argv: ['true'], env: { ...env, C: 'of vm' }, cwd: '/', user: '0' },
    ]);
    client.close();
  });

  it('without one starts no command that names no program', async () => {
    const { client } = await guest();
    const failed = { code: 'MICROVM_EXEC_FAILED', details: { step: 'argv', errno: 'EINVAL' } };
    await expect(client.exec({}).result).rejects.toMatchObject(failed);
    await client.configure({ image: { ...IMAGE, entrypoint: [], cmd: [] } });
    await expect(client.exec({}).result).rejects.toMatchObject(failed);
    expect(seen).toEqual([]);
    client.close();
  });
});
