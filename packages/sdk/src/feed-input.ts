import { Readable, type Writable } from 'node:stream';
import type { ExecInput } from './options.js';

type Source = Exclude<ExecInput, string | Uint8Array>;
type Step =
  | { readonly kind: 'piece'; readonly piece: string | Uint8Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'failure'; readonly reason: unknown }
  /** The command reads no more. */
  | { readonly kind: 'gone' };

/**
 * Streams input to a command. Answers with the source's own failure. It is no failure that the command
 * stopped reading or ended: the source is then let go, so that nothing waits for a source that never ends.
 */
export async function feedInput(
  input: Source,
  stdin: Writable,
): Promise<{ readonly reason: unknown } | undefined> {
  const source = input[Symbol.asyncIterator]();
  const feeder = new Feeder(source, stdin);
  for (;;) {
    const step = await feeder.next();
    switch (step.kind) {
      case 'piece':
        if (!(await feeder.write(step.piece))) return letGo(input, source);
        break;
      case 'end':
        stdin.end();
        return undefined;
      case 'failure':
        stdin.destroy();
        return { reason: step.reason };
      case 'gone':
        return letGo(input, source);
    }
  }
}

/** A source that is asked for its next piece may never answer: nobody waits for its end. */
function letGo(input: Source, source: AsyncIterator<string | Uint8Array>): undefined {
  if (input instanceof Readable) input.destroy();
  else Promise.resolve(source.return?.()).catch(() => undefined);
  return undefined;
}

class Feeder {
  readonly #source: AsyncIterator<string | Uint8Array>;
  readonly #stdin: Writable;
  /** Wakes all waiters once the command reads no more. */
  #onGone: () => void = () => undefined;

  constructor(source: AsyncIterator<string | Uint8Array>, stdin: Writable) {
    this.#source = source;
    this.#stdin = stdin;
    stdin.once('close', () => this.#onGone());
  }

  next(): Promise<Step> {
    return new Promise((resolve) => {
      const fail = (reason: unknown): void => resolve({ kind: 'failure', reason });
      this.#onGone = () => resolve({ kind: 'gone' });
      if (this.#stdin.destroyed) this.#onGone();
      else this.#askSource().then(resolve, fail);
    });
  }

  /** Answers once there is room for more; false: the command reads no more. */
  write(piece: string | Uint8Array): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#stdin.destroyed) resolve(false);
      else if (this.#stdin.write(piece)) resolve(true);
      else {
        this.#onGone = () => resolve(false);
        this.#stdin.once('drain', () => resolve(true));
      }
    });
  }

  async #askSource(): Promise<Step> {
    const result = await this.#source.next();
    if (result.done === true) return { kind: 'end' };
    const piece: unknown = result.value;
    if (typeof piece !== 'string' && !(piece instanceof Uint8Array)) {
      throw new TypeError('the input of a command must be strings or bytes');
    }
    return { kind: 'piece', piece };
  }
}
