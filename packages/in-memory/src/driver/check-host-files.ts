import { invalidArgument, type ResolvedVmSpec } from '@microvm/runtime';

function pathsOf(spec: ResolvedVmSpec): readonly (readonly [field: string, path: string | undefined])[] {
  return [
    ['spec.kernelPath', spec.kernelPath],
    ['spec.initrdPath', spec.initrdPath],
    ['spec.rootDrive.path', spec.rootDrive?.path],
    ...(spec.drives ?? []).map((drive, index) => [`spec.drives[${index}].path`, drive.path] as const),
  ];
}

/** Refuses files that the host does not have. Throws `MICROVM_INVALID_ARGUMENT`. */
export function checkHostFiles(spec: ResolvedVmSpec, has: (path: string) => boolean): void {
  for (const [field, path] of pathsOf(spec)) {
    if (path === undefined || has(path)) continue;
    throw invalidArgument(field, 'a file that exists', `${field}: there is no file ${path}`);
  }
}
