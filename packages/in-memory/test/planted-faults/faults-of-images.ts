import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecRequest, Guest, VmRuntime } from '@microvm/runtime';
import { creating, inOpening, inRuntime, viewing, without, type PlantedFault } from './faulty-runtime.js';

const IMAGES = 'images';

/** The commands of VMs with images are asked for in another way. */
function asking(good: VmRuntime, change: (request: ExecRequest) => ExecRequest): VmRuntime['guest'] {
  return async (vmId) => {
    const guest = await good.guest(vmId);
    const view = await good.getVm(vmId);
    if (view?.image === undefined) return guest;
    const exec = (request: ExecRequest): unknown => guest.exec(change(request));
    return new Proxy(guest, {
      get: (target, key) => (key === 'exec' ? exec : (Reflect.get(target, key) as unknown)),
    });
  };
}

async function eachGuest(good: VmRuntime, call: (guest: Guest) => Promise<unknown>): Promise<void> {
  for (const { vmId, state } of await good.listVms()) {
    if (state === 'running') await call(await good.guest(vmId));
  }
}

/** Deviations in VMs that are made from images. */
export const FAULTS_OF_IMAGES: readonly PlantedFault[] = [
  inRuntime(
    'an image that is not there is left out',
    [IMAGES, 'that are not there are refused before any effect'],
    (good) =>
      creating((vmId, spec, options) =>
        good
          .createVmWithSpec(vmId, spec, options)
          .catch(() => good.createVmWithSpec(vmId, without(spec, 'image'))),
      ),
  ),
  inRuntime(
    'a root drive beside an image is left out',
    [IMAGES, 'do not go with another root drive, without an agent, or with their drive’s id'],
    (good) =>
      creating((vmId, spec, options) => good.createVmWithSpec(vmId, without(spec, 'rootDrive'), options)),
  ),
  inRuntime('views have no image', [IMAGES, 'are in the view of a VM, by name and by digest'], (good) =>
    viewing(good, (view) => without(view, 'image')),
  ),
  inRuntime(
    'a repeated create is looked at anew',
    [IMAGES, 'answer a repeated create with the VM of the first one, whatever the name means by then'],
    (good) => creating((vmId, spec) => good.createVmWithSpec(vmId, spec)),
  ),
  inRuntime(
    'the variables of an image are over those of the VM',
    [IMAGES, 'give variables below those of the VM and of the command'],
    (good) => ({
      guest: asking(good, (request) => ({ ...request, env: { B: 'of image', ...request.env } })),
    }),
  ),
  inRuntime(
    'commands start in the root folder',
    [IMAGES, 'say where commands start and as whom, unless the command does'],
    (good) => ({ guest: asking(good, (request) => ({ cwd: '/', ...request })) }),
  ),
  inRuntime(
    'a command without arguments runs a shell',
    [IMAGES, 'say what runs where a command has no arguments'],
    (good) => ({ guest: asking(good, (request) => ({ argv: ['/bin/sh'], ...request })) }),
  ),
  inRuntime(
    'commands run as root whoever is asked for',
    [IMAGES, 'with a user that they do not know start, and fail commands without another one'],
    (good) => ({ guest: asking(good, (request) => ({ user: 'root', ...request })) }),
  ),
  inRuntime(
    'VMs of an image write to the image',
    [IMAGES, 'are shared: what one VM writes, no other VM sees'],
    (good) => ({
      async guest(vmId) {
        const guest = await good.guest(vmId);
        await guest.exec({ argv: ['true'], input: '', user: 'root', cwd: '/' }).result;
        const everywhere = async (request: ExecRequest): Promise<unknown> => {
          await eachGuest(good, (other) => other.exec(request).result);
          return guest.exec(request).result;
        };
        const exec = (request: ExecRequest) => ({ result: everywhere(request) });
        return new Proxy(guest, {
          get: (target, key) => (key === 'exec' ? exec : (Reflect.get(target, key) as unknown)),
        });
      },
    }),
  ),
  inRuntime(
    'a start begins with a new upper layer',
    [IMAGES, 'and what was written and removed above them outlive a stop'],
    (good) => ({
      async startVm(vmId, options) {
        const view = await good.startVm(vmId, options);
        const argv = ['rm', '-rf', '/data'] as const;
        await (await good.guest(vmId)).exec({ argv, input: '', user: 'root', cwd: '/' }).result;
        return view;
      },
    }),
  ),
  inRuntime('rootSizeMib is forgotten', [IMAGES, 'get a disk of the size that was asked for'], (good) =>
    creating((vmId, spec, options) => good.createVmWithSpec(vmId, without(spec, 'rootSizeMib'), options)),
  ),
  inRuntime(
    'a start looks the name up again',
    [IMAGES, 'stay those of a VM when their name is moved'],
    (good) => ({
      async startVm(vmId, options) {
        const { image, spec } = (await good.getVm(vmId)) ?? {};
        if (image !== undefined && spec?.image !== undefined) {
          await good.destroyVm(vmId);
          await good.createVmWithSpec(vmId, { image: spec.image });
        }
        return good.startVm(vmId, options);
      },
    }),
  ),
  inRuntime(
    'a restore takes any image',
    [IMAGES, 'belong to a snapshot of a running VM, and boot again after it'],
    (good) =>
      creating((vmId, spec, options) =>
        good.createVmWithSpec(vmId, spec.restoreFrom ? without(spec, 'image') : spec, options),
      ),
  ),
  inRuntime(
    'a snapshot of disks is restored without its image',
    [IMAGES, 'belong to a snapshot of disks'],
    (good) => ({
      async startVm(vmId, options) {
        const view = await good.startVm(vmId, options);
        if (view.restoredFrom === undefined) return view;
        const argv = ['rm', '-f', '/etc/origin'] as const;
        await (await good.guest(vmId)).exec({ argv, input: '', user: 'root', cwd: '/' }).result;
        return view;
      },
    }),
  ),
  inOpening(
    'the next owner has no upper layers',
    [IMAGES, 'are known to the next owner'],
    async (good, options) => {
      const folder = join(options.stateDir ?? '', 'vms');
      const instances = await readdir(folder).catch(() => []);
      for (const instance of instances) await rm(join(folder, instance, 'disks.json'), { force: true });
      return good.open(options);
    },
  ),
];
