import { open, readFile } from 'node:fs/promises';

/** A mounted file system, as this process sees it. */
export interface Mount {
  readonly id: string;
  readonly point: string;
  /** The options of the mount, such as `ro`, `noexec` and `nodev`; see mount(8). */
  readonly options: readonly string[];
  readonly type: string;
}

/** The mounts of this process's namespace: proc_pid_mountinfo(5). Rejects with the system's error. */
export async function readMounts(): Promise<readonly Mount[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter(Boolean);
  return lines.map((line) => {
    const [id = '', , , , point = '', options = ''] = line.split(' ');
    const type = / - (\S+) /.exec(line)?.[1] ?? '';
    return { id, point: unescaped(point), options: options.split(','), type };
  });
}

/**
 * The mount that a folder is on, by the id that the kernel gives an open file: a path would have to be taken
 * apart, links and all. Undefined where the kernel does not list it, as for a folder outside of this
 * process's root. Rejects with the system's error.
 */
export async function mountOf(folder: string): Promise<Mount | undefined> {
  const handle = await open(folder, 'r');
  try {
    const info = await readFile(`/proc/self/fdinfo/${handle.fd}`, 'utf8');
    const id = /^mnt_id:\s*(\d+)$/m.exec(info)?.[1];
    return (await readMounts()).find((mount) => mount.id === id);
  } finally {
    await handle.close();
  }
}

/** The kernel writes blanks, newlines and backslashes of a path as octal numbers. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
