import { ScriptedErrno, type ScriptedCommand } from '@microvm/guest';
import type { FileSystem } from '../fs/file-system.js';

/** Who a command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Its supplementary groups. */
  readonly groups: readonly number[];
  /** Empty for a number without an entry. */
  readonly name: string;
  readonly home: string;
  readonly shell: string;
}

const DEFAULTS = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'linux',
};

function parseId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffff_fffe ? Number(text) : undefined;
}

/** The lines of one of the guest's files, by their fields. */
function entriesOf(files: FileSystem, path: string): string[][] {
  const inode = files.find(path);
  if (inode?.kind !== 'file') return [];
  return inode.text.split('\n').map((line) => line.split(':'));
}

function findUser(files: FileSystem, user: string): Account | undefined {
  const uid = parseId(user);
  const entry = entriesOf(files, '/etc/passwd').find(
    (fields) =>
      fields.length >= 7 && (fields[0] === user || (uid !== undefined && parseId(fields[2] ?? '') === uid)),
  );
  if (entry === undefined) {
    if (uid === undefined) return undefined;
    return { name: '', uid, gid: uid, groups: [], home: '/', shell: '' };
  }
  const [name = '', , id = '', group = '', , home = '/', shell = ''] = entry;
  const groups = entriesOf(files, '/etc/group').flatMap(([, , gid = '', members = '']) =>
    members.split(',').includes(name) ? [parseId(gid) ?? 0] : [],
  );
  return { name, uid: parseId(id) ?? 0, gid: parseId(group) ?? 0, groups, home, shell };
}

/**
 * As the guest's /etc/passwd and /etc/group have it. Throws a `ScriptedErrno` of the step `user` for one whom
 * the guest does not know.
 */
export function accountOf(files: FileSystem, user: string): Account {
  const [name = '', group] = user === '' ? ['0'] : user.split(':');
  const account = findUser(files, name);
  if (account === undefined) throw new ScriptedErrno('ENOENT', 'user');
  if (group === undefined) return account;
  const found = entriesOf(files, '/etc/group').find(([entry]) => entry === group);
  const gid = parseId(found?.[2] ?? group);
  if (gid === undefined) throw new ScriptedErrno('ENOENT', 'user');
  return { ...account, gid, groups: [] };
}

/** The name of a user or a group in one of these files; a number without an entry is its own name. */
export function nameOf(files: FileSystem, path: '/etc/passwd' | '/etc/group', id: number): string {
  return entriesOf(files, path).find(([, , number = '']) => parseId(number) === id)?.[0] ?? String(id);
}

/** The guest's defaults, those of the user and of the terminal, and what was asked for. */
export function environmentOf(
  command: Pick<ScriptedCommand, 'user' | 'terminal' | 'env'>,
  { home, shell, name, uid }: Account,
): Readonly<Record<string, string>> {
  const { user, terminal, env } = command;
  const login = name === '' ? String(uid) : name;
  return {
    ...DEFAULTS,
    ...(user === '' ? {} : { HOME: home, SHELL: shell || '/bin/sh', USER: login, LOGNAME: login }),
    ...(terminal === undefined || terminal.term === '' ? {} : { TERM: terminal.term }),
    ...env,
  };
}
