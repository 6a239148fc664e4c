import { printable } from '@microvm/runtime';

// An error class of QMP is one word.
const MAX_STATUS_LENGTH = 64;

/**
 * A VMM refused a request. The VMM's text is cut and made printable here, before it goes into an error or a
 * record.
 */
export class RequestRefusedError extends Error {
  override readonly name = 'RequestRefusedError';
  readonly request: string;
  /** Firecracker's HTTP status, or the error class of QEMU's QMP, which is nearly always `GenericError`. */
  readonly status: number | string;
  /** The VMM's own words; never to be taken apart. */
  readonly faultMessage: string;

  constructor(request: string, status: number | string, faultMessage: string) {
    const [shownStatus, shownFault] = [
      typeof status === 'number' ? status : printable(status, MAX_STATUS_LENGTH),
      printable(faultMessage),
    ];
    super(`${request}: ${shownStatus}: ${shownFault}`);
    this.request = request;
    this.status = shownStatus;
    this.faultMessage = shownFault;
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
    super(printable(reason), cause === undefined ? undefined : { cause });
  }
}
