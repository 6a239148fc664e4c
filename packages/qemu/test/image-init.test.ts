import { outputOf } from '@microvm/conformance/linux-guest';
import { afterAll, expect, it } from 'vitest';
import { suiteImages, suiteImageStore } from './images.js';
import { openForTest } from './open-runtime.js';

const CONFIG = { env: {}, workingDir: '', user: '', entrypoint: [], cmd: [] };
const PASSWD = { '/etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n' };

afterAll(() => suiteImages.dispose?.());

it('the init of an image is process 1 where the spec says so, also after a stop, and else the agent is', async () => {
  // It ends the guest by the signal that asks systemd to power off: SIGRTMIN+4.
  const init = "#!/bin/sh\ntrap 'exec poweroff -f' 38\nwhile :; do sleep 0.1; done\n";
  await suiteImages.tag('with-init', { files: { ...PASSWD, '/sbin/init': init }, config: CONFIG });
  const runtime = await openForTest({ imageStore: suiteImageStore });
  const processOne = async (vmId: string): Promise<string> => {
    await runtime.startVm(vmId);
    return outputOf(await runtime.guest(vmId), 'xargs -0 < /proc/1/cmdline');
  };
  await runtime.createVmWithSpec('own', { image: 'with-init', imageInit: 'image' });
  expect(await processOne('own')).toBe('/bin/sh /sbin/init');
  expect((await runtime.stopVm('own')).stop).toBe('graceful');
  expect(await processOne('own')).toBe('/bin/sh /sbin/init');
  await runtime.createVmWithSpec('agent', { image: 'with-init' });
  expect(await processOne('agent')).toBe('/init');
});

it('a VM whose image has no init does not start, and the error says why', async () => {
  await suiteImages.tag('without-init', { files: PASSWD, config: CONFIG });
  const runtime = await openForTest({ imageStore: suiteImageStore });
  await runtime.createVmWithSpec('vm', { image: 'without-init', imageInit: 'image' });
  await expect(runtime.startVm('vm')).rejects.toMatchObject({
    code: 'MICROVM_GUEST_UNREACHABLE',
    details: { reason: 'it ended by itself: run /sbin/init of the image: No such file or directory' },
  });
});
