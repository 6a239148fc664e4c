import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ExecInput } from './options.js';

/**
 * Streams input to a command. Answers with the source's failure; that the command stopped reading, or ended, is none.
 */
export async function feedInput(
  input: Exclude<ExecInput, string | Uint8Array>,
  stdin: Writable,
): Promise<{ readonly reason: unknown } | undefined> {
  let failure: { readonly reason: unknown } | undefined;
  async function* source(): AsyncGenerator<string | Uint8Array> {
    try {
      yield* input;
    } catch (reason) {
      failure = { reason };
      throw reason;
    }
  }
  try {
    await pipeline(Readable.from(source()), stdin);
  } catch {
    // Either the source's failure, which `failure` has, or the closed end of the command, which its result explains.
  }
  return failure;
}
