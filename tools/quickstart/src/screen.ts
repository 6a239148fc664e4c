import pc from 'picocolors';

/** Columns before a console line: time stamp, prefix. */
const CONSOLE_INDENT = 22;

/**
 * What one sees: lines with the seconds since the start, the same on a terminal and in a file but for the
 * colours.
 */
export class Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #startedAt = performance.now();
  readonly #colors: ReturnType<typeof pc.createColors>;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    // picocolors looks at NO_COLOR, FORCE_COLOR and the terminal of the standard output, which is where we
    // write.
    this.#colors = pc.createColors(pc.isColorSupported);
  }

  get elapsedMs(): number {
    return performance.now() - this.#startedAt;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY;
  }

  /** A new chapter. */
  chapter(title: string): void {
    this.#stream.write(`\n${this.#time()} ${this.#colors.bold(this.#colors.cyan(title))}\n`);
  }

  line(text: string): void {
    this.#stream.write(`${this.#time()}   ${text}\n`);
  }

  done(text: string): void {
    this.line(`${this.#colors.green('✔')} ${text}`);
  }

  failed(text: string): void {
    this.line(`${this.#colors.red('✖')} ${text}`);
  }

  warning(text: string): void {
    this.line(`${this.#colors.yellow('!')} ${text}`);
  }

  /** Something of less weight, such as a remedy. */
  detail(text: string): void {
    this.line(this.#colors.dim(`  ${text}`));
  }

  /** A line of the guest's serial console; on a terminal cut to its width. */
  console(text: string): void {
    // Some terminals say that they have no columns.
    const columns = this.#stream.isTTY && this.#stream.columns > 0 ? this.#stream.columns : Infinity;
    const room = Math.max(1, columns - CONSOLE_INDENT);
    this.line(this.#colors.dim(`console │ ${text.length > room ? `${text.slice(0, room - 1)}…` : text}`));
  }

  /** A command that runs in the guest, as one would type it. */
  command(text: string): void {
    this.line(`${this.#colors.yellow('guest $')} ${text}`);
  }

  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.line(`        ${line}`);
  }

  /** Text without time stamps. */
  plain(text: string): void {
    this.#stream.write(`${text}\n`);
  }

  #time(): string {
    return this.#colors.dim(`${(this.elapsedMs / 1000).toFixed(2).padStart(7)} s`);
  }
}
