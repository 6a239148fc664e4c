import { SHELL_PROGRAMS } from '../shell/shell-program.js';
import { BASIC_PROGRAMS } from './basic-programs.js';
import { DIGEST_PROGRAMS } from './digest-programs.js';
import { FILE_PROGRAMS } from './file-programs.js';
import { FIND_PROGRAMS } from './find-programs.js';
import { LINE_PROGRAMS } from './line-programs.js';
import { NETWORK_PROGRAMS } from './network-programs.js';
import { PROCESS_PROGRAMS } from './process-programs.js';
import type { Program } from './registry.js';
import type { ProgramName } from './program-names.js';
import { SYSTEM_PROGRAMS } from './system-programs.js';
import { TEXT_PROGRAMS } from './text-programs.js';

/** Every program of a guest, by its name. */
export const ALL_PROGRAMS: Readonly<Record<ProgramName, Program>> = {
  ...BASIC_PROGRAMS,
  ...DIGEST_PROGRAMS,
  ...FILE_PROGRAMS,
  ...FIND_PROGRAMS,
  ...LINE_PROGRAMS,
  ...NETWORK_PROGRAMS,
  ...PROCESS_PROGRAMS,
  ...SHELL_PROGRAMS,
  ...SYSTEM_PROGRAMS,
  ...TEXT_PROGRAMS,
};
