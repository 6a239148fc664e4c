import { PayloadReader, PayloadWriter } from '../payload.js';
import { MAX_USER_BYTES, ProtocolError, StreamKind } from '../protocol.js';

/** The OPEN of a file worker. */
export function encodeFiles(user: string): Buffer {
  return new PayloadWriter().u8(StreamKind.files).text(user).done();
}

/** The user of a file worker; empty: whoever the agent is. */
export function decodeFiles(body: Buffer): string {
  const input = new PayloadReader(body);
  if (input.u8() !== StreamKind.files) throw new ProtocolError('not the OPEN of a file worker');
  const user = input.text(MAX_USER_BYTES);
  input.end();
  return user;
}
