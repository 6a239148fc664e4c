import type { ParsedScript } from 'unbash';

/** Ends a shell that is not interactive, with a message: a wrong expansion, a read-only variable … */
export class ShellError extends Error {
  override readonly name = 'ShellError';
  readonly exitCode: number;

  constructor(message: string, exitCode = 2) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** `exit`, also at the end of `exec`. */
export class ShellExit {
  readonly exitCode: number;

  constructor(exitCode: number) {
    this.exitCode = exitCode;
  }
}

/** `break` and `continue` through so many loops. */
export class LoopJump {
  readonly kind: 'break' | 'continue';
  readonly levels: number;

  constructor(kind: 'break' | 'continue', levels: number) {
    this.kind = kind;
    this.levels = levels;
  }
}

/** `return` of a function or of a script that was sourced. */
export class FunctionReturn {
  readonly exitCode: number;

  constructor(exitCode: number) {
    this.exitCode = exitCode;
  }
}

/** Throws a `ShellError` for a text that cannot be parsed. */
export function checkSyntax({ errors }: ParsedScript): void {
  const [error] = errors ?? [];
  if (error !== undefined) throw new ShellError(`syntax error: ${error.message}`);
}
