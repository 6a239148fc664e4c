import { invalidArgument, type ResolvedVmSpec } from '@microvm/runtime';
import type { Images } from './disks.js';

function pathsOf(spec: ResolvedVmSpec): readonly (readonly [field: string, path: string | undefined])[] {
  return [
    ['spec.kernelPath', spec.kernelPath],
    ['spec.initrdPath', spec.initrdPath],
    ['spec.rootDrive.path', spec.rootDrive?.path],
    ...(spec.drives ?? []).map((drive, index) => [`spec.drives[${index}].path`, drive.path] as const),
  ];
}

/** Refuses files that are not among `images`. Throws `MICROVM_INVALID_ARGUMENT`. */
export function checkImages(spec: ResolvedVmSpec, images: Images): void {
  for (const [field, path] of pathsOf(spec)) {
    if (path === undefined || Object.hasOwn(images, path)) continue;
    throw invalidArgument(field, 'a file that exists', `${field}: there is no file ${path}`);
  }
}
