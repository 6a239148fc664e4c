import { VMM_FILES } from '../host/paths.js';

export interface JailOptions {
  /** Folder of all jails; the jailer makes `<base>/<basename of the exec file>/<id>/root`. */
  readonly chrootBaseDir: string;
  readonly uid: number;
  readonly gid: number;
  /** Path of the VM's cgroup below the cgroup v2 mount; absent where there is none. */
  readonly cgroup?: string;
  /** Path of a network namespace to join. */
  readonly netnsPath?: string;
}

/** Firecracker's own arguments. The name of the API socket tells our VMMs from any other process. */
export function vmmArgs(): string[] {
  return [
    '--api-sock',
    VMM_FILES.apiSocket,
    // On the command line, as a restored VM can be told neither over the API.
    '--log-path',
    VMM_FILES.log,
    '--level',
    'Warning',
    '--metrics-path',
    VMM_FILES.metrics,
  ];
}

/** Arguments of a Firecracker without a jail. */
export function bareArgs(instanceId: string): string[] {
  return ['--id', instanceId, ...vmmArgs()];
}

/**
 * Arguments of the official jailer. Our process has made the cgroup with its limits. The jailer puts itself
 * into that cgroup, because the arguments name it as the parent and give no value of their own. Neither
 * `--daemonize` nor `--new-pid-ns`: the child is the VMM, with the same pid.
 */
export function jailerArgs(instanceId: string, execFile: string, jail: JailOptions): string[] {
  const { chrootBaseDir, uid, gid, cgroup, netnsPath } = jail;
  return [
    '--id',
    instanceId,
    '--exec-file',
    execFile,
    '--uid',
    String(uid),
    '--gid',
    String(gid),
    '--chroot-base-dir',
    chrootBaseDir,
    ...(cgroup === undefined ? [] : ['--cgroup-version', '2', '--parent-cgroup', cgroup]),
    ...(netnsPath === undefined ? [] : ['--netns', netnsPath]),
    '--',
    ...vmmArgs(),
  ];
}

/** The argument that every VMM of ours has, jailed or not, also while the process is still the jailer. */
export const VMM_MARK = VMM_FILES.apiSocket;

/** The instance that a VMM's arguments name. */
export function instanceIdOf(args: readonly string[]): string | undefined {
  return args[args.indexOf('--id') + 1];
}
