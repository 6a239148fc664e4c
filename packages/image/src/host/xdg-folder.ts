import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

const FOLDERS = {
  data: { variable: 'XDG_DATA_HOME', fallback: ['.local', 'share'] },
  cache: { variable: 'XDG_CACHE_HOME', fallback: ['.cache'] },
  state: { variable: 'XDG_STATE_HOME', fallback: ['.local', 'state'] },
} as const;

/**
 * Our folder for what the user can lose (`cache`), keeps (`data`) or cannot lose (`state`), by the XDG Base
 * Directory Specification, which has relative paths in its variables ignored.
 */
export function xdgFolder(kind: keyof typeof FOLDERS, env: NodeJS.ProcessEnv): string {
  const { variable, fallback } = FOLDERS[kind];
  const named = env[variable];
  const base = named !== undefined && isAbsolute(named) ? named : join(homedir(), ...fallback);
  return join(base, 'microvm');
}
