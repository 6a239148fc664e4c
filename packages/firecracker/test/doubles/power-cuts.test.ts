import { describePowerCuts } from '@microvm/conformance';
import { bundleScript, lostFsync, PowerLab } from '@microvm/volatile-disk';
import { doubleFactory } from './doubles.js';

const child = new URL('./power-cut-child.ts', import.meta.url);

describePowerCuts('firecracker, on the doubles', doubleFactory, {
  lab: PowerLab,
  childModule: { path: await bundleScript(child, new URL('../../build/', import.meta.url)) },
  faults: [
    { title: 'a record is not synced', scenario: 'startVm', env: lostFsync('file', 'vm.json') },
    { title: 'the folder of a record is not synced', scenario: 'startVm', env: lostFsync('folder', '/vms/') },
    { title: 'a disk is not synced', scenario: 'createVm', env: lostFsync('file', '/disks/') },
    {
      title: 'the files of a snapshot are not synced',
      scenario: 'snapshotVm of a running VM',
      env: lostFsync('file', '/snapshots/'),
    },
  ],
});
