import type { Dispatcher } from 'undici';
import { ConnectionClosedError, RequestRefusedError } from '../process/request-errors.js';

/** What a refusal says, in the VMM's own form; undefined where it says nothing. */
export type FaultReader = (content: unknown) => unknown;

/**
 * What a successful answer says; undefined where it has no body. Rejects with `RequestRefusedError` on the
 * VMM's refusal and with `ConnectionClosedError` on what no VMM would say. The client bounds the length.
 */
export async function readAnswer(
  name: string,
  { statusCode, body }: Pick<Dispatcher.ResponseData, 'statusCode' | 'body'>,
  faultIn: FaultReader,
): Promise<unknown> {
  const text = await body.text();
  const content = parse(text);
  if (statusCode >= 300) {
    const fault = faultIn(content);
    throw new RequestRefusedError(name, statusCode, typeof fault === 'string' ? fault : text);
  }
  if (text !== '' && content === undefined)
    throw new ConnectionClosedError(`${name}: the answer is not JSON`);
  return content;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Also Firecracker's own answer to an unknown method, which has a line break inside a JSON string.
    return undefined;
  }
}
