/** System errors of this package have the same fields as errors of `node:fs`. */
export interface SystemError extends Error {
  /** The symbolic name, such as `ENOENT`. */
  readonly code: string;
  /** The negative error number, as in Node. */
  readonly errno: number;
  /** The step that failed: the name of a system call. */
  readonly syscall: string;
  /** The file the step was about, when there is one. */
  readonly path?: string;
}

/**
 * The last argument of every call that returns a promise, or a part of its options. An abort rejects with the
 * signal's reason. What has been done by then: see the call. Without a word there it is one step long, which
 * either has not begun or is carried through, so that an abort that comes later has no effect.
 */
export interface AbortOptions {
  readonly signal?: AbortSignal;
}
