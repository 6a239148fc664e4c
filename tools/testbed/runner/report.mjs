import { inspect } from 'node:util';

/** One line for a test that passed or was skipped; its errors too for what failed. */
export function describeEnd(task) {
  const { state, duration = 0, note, errors = [] } = task.result ?? {};
  const mark = { pass: '✓', fail: '✗' }[state] ?? '↓';
  const skipNote = note === undefined ? '' : ` (${note})`;
  const line = `${mark} ${task.fullName ?? task.name} ${(duration / 1000).toFixed(1)} s${skipNote}`;
  return [line, ...errors.map(describeError)].join('\n');
}

function describeError(error) {
  const diff = error.diff === undefined ? '' : `\n${error.diff}`;
  // What an error of ours says beyond its message: a VMM's last lines of log, for one.
  const details = error.details === undefined ? '' : `\n${inspect(error.details, { depth: 5 })}`;
  return `${error.stack ?? error.message}${details}${diff}`.replaceAll(/^/gm, '    ');
}
