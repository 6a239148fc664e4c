/** Firecracker answered with something else than success. */
export class ApiRequestError extends Error {
  readonly request: string;
  readonly status: number;
  /** Firecracker's own words; never to be taken apart. */
  readonly faultMessage: string;

  constructor(request: string, status: number, faultMessage: string) {
    super(`${request}: ${status}: ${faultMessage}`);
    this.request = request;
    this.status = status;
    this.faultMessage = faultMessage;
  }
}

/** No answer within the time given; Firecracker may still carry the request out. */
export class ApiTimeoutError extends Error {
  readonly request: string;
  readonly timeoutMs: number;

  constructor(request: string, timeoutMs: number) {
    super(`${request}: no answer within ${timeoutMs} ms`);
    this.request = request;
    this.timeoutMs = timeoutMs;
  }
}

/** The connection ended, or the process did, before there was an answer. */
export class ApiClosedError extends Error {
  readonly request: string;

  constructor(request: string, cause?: unknown) {
    super(`${request}: the connection ended without an answer`, cause === undefined ? undefined : { cause });
    this.request = request;
  }
}
