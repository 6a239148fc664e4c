import type { ExecResult, OutputOffsets } from '@microvm/runtime';

/**
 * What a command that ended left. Text is UTF-8; for bytes as they were there are `stdoutBytes` and
 * `stderrBytes`.
 */
export class CommandResult {
  /** Null when a signal ended the command. */
  readonly exitCode: number | null;
  /** Name of the signal that ended the command, such as `SIGKILL`; else null. */
  readonly signal: string | null;
  /** The command exited with 0. */
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /** Bytes of each output that the guest could not keep: of an attached command only, else 0. */
  readonly missingBytes: OutputOffsets;
  readonly #bytes: { readonly stdout: Buffer; readonly stderr: Buffer };

  constructor(result: ExecResult) {
    this.exitCode = result.exitCode;
    this.signal = result.signal;
    this.ok = result.exitCode === 0;
    this.stdout = result.stdout.toString('utf8');
    this.stderr = result.stderr.toString('utf8');
    this.missingBytes = result.missingBytes ?? { stdout: 0, stderr: 0 };
    this.#bytes = { stdout: result.stdout, stderr: result.stderr };
  }

  get stdoutBytes(): Buffer {
    return this.#bytes.stdout;
  }

  get stderrBytes(): Buffer {
    return this.#bytes.stderr;
  }
}

const SHOWN_STDERR_CHARACTERS = 1000;

/** A command with `throwOnError` did not exit with 0. `result` has all that it left. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly command: string;
  readonly result: CommandResult;

  constructor(command: string, result: CommandResult) {
    const ending =
      result.signal === null ? `exited with ${String(result.exitCode)}` : `ended by ${result.signal}`;
    const said = result.stderr.trim().slice(-SHOWN_STDERR_CHARACTERS);
    super(`run "${command}": ${ending}${said === '' ? '' : `: ${said}`}`);
    this.command = command;
    this.result = result;
  }
}
