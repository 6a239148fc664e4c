import { runProgram } from '../../src/host/program.js';

// Names are bytes: all is read as Latin-1, and paths are quoted by nobody.
const STAT = '%n|%F|%a|%u:%g|%h|%t:%T|%Y';

/**
 * A line for each name below a folder: type, mode, owner, links, device, time, target, content and extended
 * attributes. As root, who may read all of it.
 */
export async function listTree(folder: string): Promise<string[]> {
  const find = (...args: string[]): Promise<string[]> => lines('find', ['.', ...args], folder);
  return [
    ...(await find('-exec', 'stat', '-c', STAT, '{}', '+')),
    ...(await find('-type', 'l', '-printf', '%p -> %l\n')),
    ...(await find('-type', 'f', '-exec', 'sha256sum', '{}', '+')),
    ...(await attributes(folder)),
  ].toSorted();
}

async function attributes(folder: string): Promise<string[]> {
  const output = await runProgram('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], {
    cwd: folder,
  });
  const blocks = output.toString('latin1').split('\n\n');
  return blocks.filter((block) => block.includes('=')).map((block) => block.trim().replaceAll('\n', ' '));
}

async function lines(program: string, args: readonly string[], cwd: string): Promise<string[]> {
  const output = await runProgram(program, args, { cwd });
  return output.toString('latin1').split('\n').filter(Boolean);
}
