import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { signalCalls } from './signal-calls.mjs';
import { sourceFiles } from './source-files.mjs';

/** Lines above the call in which its guard may stand. */
const GUARD_REACH = 3;

/**
 * The only places that may signal by number. `guard` stands in the call's own line or in one of the three
 * above, and refuses the numbers that would reach strangers. Everything else signals through a pidfd
 * (`watchProcess(identity).kill`) or through its own `ChildProcess`.
 */
export const REVIEWED = [
  {
    file: 'native/agent/src/process_signal.cc',
    call: 'kill(pid, number)',
    guard: 'if (pid <= 0) return EINVAL;',
  },
  {
    file: 'native/agent/src/process_signal.cc',
    call: 'kill(-leader, number)',
    guard: 'if (leader <= 1) return EINVAL;',
  },
  {
    // The agent is process 1 of its guest, or of the PID namespace that stands for one.
    file: 'native/agent/src/process_signal.cc',
    call: 'kill(-1, number)',
    guard: 'if (!OwnsNamespace()) return EPERM;',
  },
  {
    file: 'native/test/core/check.h',
    call: 'kill(child, SIGKILL)',
    guard: 'if (child <= 0) return;',
  },
  {
    file: 'packages/bench/floor/firecracker.c',
    call: 'kill(vm->pid, SIGKILL)',
    guard: 'vm->pid > 0 ?',
  },
  {
    file: 'packages/bench/floor/firecracker.c',
    call: 'kill(vms[i].pid, SIGKILL)',
    guard: 'if (vms[i].pid > 0)',
  },
  {
    // The conformance package imports no native code, so it has no pidfd.
    file: 'packages/conformance/src/linux-guest.ts',
    call: "process.kill(pid, 'SIGKILL')",
    guard: 'if (!(pid > 1)) throw new Error(',
  },
];

/**
 * Signal calls of the tree that are not reviewed, lost their guard, or are reviewed but gone: one line for
 * each.
 */
export async function unreviewedSignals(root, reviewed = REVIEWED) {
  const problems = [];
  const unused = new Set(reviewed);
  // The tests of this check plant what it must find.
  const files = await sourceFiles(root, (path) => !path.startsWith(join('tools', 'checks')));
  for (const file of files) {
    const text = await readFile(join(root, file), 'utf8');
    for (const { line, call } of signalCalls(file, text)) {
      const entry = reviewed.find((each) => each.file === file && each.call === call);
      unused.delete(entry);
      if (entry === undefined) problems.push(`${file}:${line}: ${call} is not on the reviewed list`);
      else if (!isGuarded(text, line, entry.guard)) {
        problems.push(`${file}:${line}: ${call} is not guarded by \`${entry.guard}\``);
      }
    }
  }
  for (const { file, call } of unused) problems.push(`${file}: ${call} is on the reviewed list and gone`);
  return problems;
}

function isGuarded(text, line, guard) {
  return text
    .split('\n')
    .slice(Math.max(0, line - 1 - GUARD_REACH), line)
    .some((near) => near.includes(guard));
}
