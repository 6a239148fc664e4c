import { once } from 'node:events';
import type { Readable } from 'node:stream';

/** What a stream sends until its end. A loop would destroy the stream, and with it the other direction. */
export async function readAll(stream: Readable): Promise<string> {
  let text = '';
  stream.on('data', (data: Buffer) => (text += data.toString()));
  stream.resume();
  await once(stream, 'end');
  return text;
}
