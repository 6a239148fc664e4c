/** QEMU refused a command. */
export class QmpCommandError extends Error {
  override readonly name = 'QmpCommandError';
  readonly command: string;
  /** QMP's error class, nearly always `GenericError`. */
  readonly errorClass: string;
  /** QEMU's own words. */
  readonly description: string;

  constructor(command: string, errorClass: string, description: string) {
    super(`QMP ${command}: ${description}`);
    this.command = command;
    this.errorClass = errorClass;
    this.description = description;
  }
}

/** No answer within the deadline; the monitor may still carry the command out. */
export class QmpTimeoutError extends Error {
  override readonly name = 'QmpTimeoutError';
  readonly command: string;
  readonly timeoutMs: number;

  constructor(command: string, timeoutMs: number) {
    super(`QMP ${command}: no answer within ${timeoutMs} ms`);
    this.command = command;
    this.timeoutMs = timeoutMs;
  }
}

/** The connection is gone: QEMU ended, broke the protocol, or we closed it. */
export class QmpClosedError extends Error {
  override readonly name = 'QmpClosedError';

  constructor(reason: string, cause?: unknown) {
    super(`QMP connection closed: ${reason}`, cause === undefined ? undefined : { cause });
  }
}
