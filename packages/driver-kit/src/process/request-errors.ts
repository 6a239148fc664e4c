/** A VMM refused a request. */
export class RequestRefusedError extends Error {
  override readonly name = 'RequestRefusedError';
  readonly request: string;
  /** Of Firecracker its HTTP status, of QEMU the error class of QMP, nearly always `GenericError`. */
  readonly status: number | string;
  /** The VMM's own words; never to be taken apart. */
  readonly faultMessage: string;

  constructor(request: string, status: number | string, faultMessage: string) {
    super(`${request}: ${status}: ${faultMessage}`);
    this.request = request;
    this.status = status;
    this.faultMessage = faultMessage;
  }
}

/** No answer within the time given; the VMM may still carry the request out. */
export class RequestTimeoutError extends Error {
  override readonly name = 'RequestTimeoutError';
  readonly request: string;
  readonly timeoutMs: number;

  constructor(request: string, timeoutMs: number) {
    super(`${request}: no answer within ${timeoutMs} ms`);
    this.request = request;
    this.timeoutMs = timeoutMs;
  }
}

/** The connection to a VMM is gone: the VMM ended, broke the protocol, or we closed it. */
export class ConnectionClosedError extends Error {
  override readonly name = 'ConnectionClosedError';

  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
  }
}
