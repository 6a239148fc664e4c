const ESCAPE_SEQUENCE = /\u001b\[[0-9;?]*[A-Za-z]/g;

/**
 * Cuts serial output into lines that are safe to show: no escape sequence of the guest reaches the terminal.
 */
export async function* consoleLines(output: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let rest = '';
  for await (const text of output) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield clean(line);
  }
  if (rest !== '') yield clean(rest);
}

function clean(line: string): string {
  return line.replace(ESCAPE_SEQUENCE, '').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '');
}
