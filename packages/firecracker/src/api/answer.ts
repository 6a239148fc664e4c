import { ConnectionClosedError, RequestRefusedError } from '@microvm/driver-kit';
import type { Dispatcher } from 'undici';

/**
 * What a successful answer says; undefined where it has no body. Rejects with `RequestRefusedError` on Firecracker's refusal and with
 * `ConnectionClosedError` on what Firecracker would never say. The client bounds the length.
 */
export async function readAnswer(
  name: string,
  { statusCode, body }: Pick<Dispatcher.ResponseData, 'statusCode' | 'body'>,
): Promise<unknown> {
  const text = await body.text();
  const content = parse(text);
  if (statusCode >= 300) throw new RequestRefusedError(name, statusCode, faultIn(content) ?? text);
  if (text !== '' && content === undefined)
    throw new ConnectionClosedError(`${name}: the answer is not JSON`);
  return content;
}

function faultIn(content: unknown): string | undefined {
  const { fault_message: fault, error } = (content ?? {}) as { fault_message?: unknown; error?: unknown };
  return [fault, error].find((text) => typeof text === 'string');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // Also Firecracker's own answer to an unknown method, which has a line break inside a JSON string.
    return undefined;
  }
}
