/** The programs that every guest has, each as a file in `/bin`. */
export const PROGRAM_NAMES = [
  'cat',
  'counter',
  'date',
  'echo',
  'env',
  'false',
  'hostname',
  'id',
  'nc',
  'poweroff',
  'pwd',
  'reboot',
  'rm',
  'sh',
  'sleep',
  'stty',
  'sync',
  'tee',
  'true',
  'tty',
  'uname',
] as const;

export type ProgramName = (typeof PROGRAM_NAMES)[number];
