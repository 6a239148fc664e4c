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
  return `${error.stack ?? error.message}${diff}`.replaceAll(/^/gm, '    ');
}
