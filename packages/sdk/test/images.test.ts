import { createImages } from '@microvm/in-memory';
import { expect, it } from 'vitest';
import { createMicrovm } from '../src/index.js';
import { memoryMicrovm } from './in-memory.js';

const APP = {
  files: {
    '/srv/greeting': 'hello\n',
    '/etc/passwd': 'root:x:0:0::/root:/bin/sh\napp:x:7:7::/srv:/bin/sh\n',
  },
  env: { WHO: 'image' },
  workingDir: '/srv',
  user: 'app',
  entrypoint: ['/bin/sh', '-c'],
  cmd: ['cat greeting; echo "$WHO"; id -un'],
};

it('a VM of an image runs the image’s own command, where, as whom and with what the image says', async () => {
  const { microvm } = await memoryMicrovm({ images: { app: APP } });
  await using vm = await microvm.create({ image: 'app', rootSizeMib: 64 });
  expect((await vm.exec()).stdout).toBe('hello\nimage\napp\n');
  expect((await vm.exec(undefined, { env: { WHO: 'call' }, user: 'root' })).stdout).toBe(
    'hello\ncall\nroot\n',
  );
  expect((await vm.exec('pwd')).stdout).toBe('/srv\n');
  const detached = await vm.exec(undefined, { detached: true });
  expect((await detached.attach()).stdout).toBe('hello\nimage\napp\n');
  expect((await vm.view()).image?.name).toBe('app');
});

it('a name that stands for nothing is told by its code, and leaves no VM', async () => {
  const { microvm } = await memoryMicrovm({ images: createImages({ app: APP }) });
  await expect(microvm.create({ image: 'other' })).rejects.toMatchObject({
    code: 'MICROVM_IMAGE_NOT_FOUND',
    details: { image: 'other' },
  });
  expect(await microvm.list()).toEqual([]);
});

it.each([
  ['a working directory', { workingDir: 'srv' }],
  ['a user', { user: 'x'.repeat(257) }],
  ['a stop signal', { stopSignal: 'SIGNONE' }],
  ['arguments', { cmd: Array<string>(9).fill('x'.repeat(127 * 1024)) }],
])('an image with %s that no guest can be told of is refused before there is a VM', async (_what, config) => {
  const { microvm } = await memoryMicrovm({ images: { app: { ...APP, ...config } } });
  await expect(microvm.create({ image: 'app' })).rejects.toMatchObject({
    code: 'MICROVM_IMAGE_INVALID',
    details: { source: 'app' },
  });
  expect(await microvm.list()).toEqual([]);
});

it('without an image a command has to be said', async () => {
  const { microvm } = await memoryMicrovm();
  await using vm = await microvm.create();
  await expect(vm.exec()).rejects.toMatchObject({ code: 'MICROVM_EXEC_FAILED', details: { step: 'argv' } });
});

it('a folder of images that is no absolute path is refused', async () => {
  const microvm = createMicrovm({ driver: 'qemu', imageStore: 'images' });
  await expect(microvm.list()).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    details: { path: 'options.imageStore' },
  });
});
