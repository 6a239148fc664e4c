import type { Dispatcher } from 'undici';
import { ConnectionClosedError, RequestRefusedError } from '../process/request-errors.js';

/** The text of a refusal, in the VMM's own form; undefined where there is none. */
export type FaultReader = (content: unknown) => unknown;

/**
 * The value of a successful answer; undefined where there is no body. Rejects with `RequestRefusedError` when
 * the VMM refuses and with `ConnectionClosedError` for an answer that no VMM would give. The client bounds
 * the length.
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
    // Firecracker's own answer to an unknown method has a line break inside a JSON string.
    return undefined;
  }
}
