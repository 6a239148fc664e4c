import { type ScriptedCommand, ScriptedErrno } from '@microvm/guest';

/** Who a command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  /** Empty for a number without an entry. */
  readonly name: string;
  readonly home: string;
  readonly shell: string;
}

/** Those of the default image. */
const ACCOUNTS: readonly Account[] = [
  { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/sh' },
  { name: 'nobody', uid: 65_534, gid: 65_534, home: '/', shell: '/bin/false' },
];
const GROUPS: Readonly<Record<string, number>> = { root: 0, tty: 5, nogroup: 65_534 };
const DEFAULTS = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  TERM: 'linux',
};

function parseId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= 0xffff_fffe ? Number(text) : undefined;
}

function findUser(name: string): Account | undefined {
  const uid = parseId(name);
  const known = ACCOUNTS.find((account) => account.name === name || account.uid === uid);
  if (known !== undefined || uid === undefined) return known;
  return { name: '', uid, gid: uid, home: '/', shell: '' };
}

/** Throws a `ScriptedErrno` of the step `user` for one whom the guest does not know. */
export function accountOf({ user }: Pick<ScriptedCommand, 'user'>): Account {
  const [name = '', group] = user === '' ? ['root'] : user.split(':');
  const account = findUser(name);
  if (account === undefined) throw new ScriptedErrno('ENOENT', 'user');
  if (group === undefined) return account;
  const gid = Object.hasOwn(GROUPS, group) ? GROUPS[group] : parseId(group);
  if (gid === undefined) throw new ScriptedErrno('ENOENT', 'user');
  return { ...account, gid };
}

/** The guest's defaults, those of the user and of the terminal, and what was asked for. */
export function environmentOf(command: ScriptedCommand): Readonly<Record<string, string>> {
  const { user, terminal, env } = command;
  const { home, shell, name, uid } = accountOf(command);
  const login = name === '' ? String(uid) : name;
  return {
    ...DEFAULTS,
    ...(user === '' ? {} : { HOME: home, SHELL: shell || '/bin/sh', USER: login, LOGNAME: login }),
    ...(terminal === undefined || terminal.term === '' ? {} : { TERM: terminal.term }),
    ...env,
  };
}
