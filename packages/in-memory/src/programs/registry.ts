import type { CommandEnd } from '../guest/guest-script.js';
import type { Process } from '../process/process.js';
import { UsageError } from './options.js';
import type { PROGRAM_GROUPS, ProgramGroup } from './program-names.js';

/** A program that every guest has. Its `DiskError`s and `UsageError`s become messages of the process. */
export type Program = (process: Process) => Promise<CommandEnd>;

export type Programs<Group extends ProgramGroup> = Readonly<
  Record<(typeof PROGRAM_GROUPS)[Group][number], Program>
>;

export type ProgramTable = Readonly<Record<string, Program>>;

/**
 * Loads the shell and all programs. A guest that nobody talks to does not load them. They are loaded before
 * the first command and not by it: on a virtual clock a `sleep` would otherwise begin at a time of its own.
 */
export async function loadPrograms(): Promise<ProgramTable> {
  return (await import('./all-programs.js')).ALL_PROGRAMS;
}

/** The program of this name, which `find-program` has found on the guest's disk. */
export async function runProgram(
  programs: ProgramTable,
  name: string,
  process: Process,
): Promise<CommandEnd> {
  const program = Object.hasOwn(programs, name) ? programs[name] : undefined;
  if (program === undefined) return process.complain('Exec format error', 126);
  try {
    return await program(process);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return process.complain(error.message);
  }
}
