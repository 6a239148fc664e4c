import { ScriptedErrno } from '@microvm/guest';
import type { CommandEnd } from '../guest/guest-script.js';
import { DiskError } from '../fs/inode.js';
import { CommandInput, CommandOutput } from './command-files.js';
import type { OpenFile } from './open-file.js';
import { ProcessSystem, type ProcessSystemParts } from './process-system.js';

/** Runs a command that the host has asked for. Throws a `ScriptedErrno` when it cannot be started. */
export async function runCommand(parts: ProcessSystemParts): Promise<CommandEnd> {
  const { command, account } = parts;
  const { argv, env, cwd, stdout, stderr, terminal } = command;
  checkFolder(parts);
  const system = new ProcessSystem(parts);
  const descriptors = new Map<number, OpenFile>([
    [0, new CommandInput(command)],
    [1, new CommandOutput(stdout, terminal)],
    [2, new CommandOutput(stderr, terminal)],
  ]);
  try {
    return await system.run({ argv, env, cwd, account, descriptors });
  } finally {
    // It has killed all of the command, also what would have told another end.
    if (system.thrown !== undefined) throw system.thrown.error;
  }
}

function checkFolder({ command, account, files }: ProcessSystemParts): void {
  try {
    const own = files.as(account);
    const folder = own.stat(command.cwd);
    if (folder.kind !== 'directory') throw new DiskError('ENOTDIR', command.cwd);
    if (!own.mayExecute(folder)) throw new DiskError('EACCES', command.cwd);
  } catch (error) {
    throw error instanceof DiskError ? new ScriptedErrno(error.errno, 'cwd') : error;
  }
}
