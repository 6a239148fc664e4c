import { VmRuntimeError } from '@microvm/runtime';
import { OutputCollector } from '../output-queue.js';
import { ask, decodeNothing } from './ask.js';
import type { CallPaths } from './file-error.js';
import type { FileWorker } from './file-worker.js';

/** Bytes that a call may collect without a turn. */
const FREE_BYTES = 64 * 1024;
export const DEFAULT_MAX_BYTES = 4 << 20;

/**
 * One call of a guest at a time collects more than `FREE_BYTES`, so that many calls together hold little more
 * than the largest of them may.
 */
export class CollectTurn {
  #isTaken = false;
  readonly #waiting: (() => void)[] = [];

  take(onTurn: () => void): void {
    if (this.#isTaken) {
      this.#waiting.push(onTurn);
    } else {
      this.#isTaken = true;
      onTurn();
    }
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#isTaken = false;
    else next();
  }
}

export interface CollectRequest {
  readonly worker: FileWorker;
  readonly message: Buffer;
  readonly paths: CallPaths;
  readonly maxBytes: number;
  readonly turn: CollectTurn;
}

/** The whole content that a request is answered with. Beyond `maxBytes` it rejects and ends the worker. */
export async function collectContent(request: CollectRequest): Promise<Buffer> {
  const { worker, message, paths, maxBytes, turn } = request;
  const collected = new OutputCollector(maxBytes);
  let size = 0;
  let held = 0;
  let state = 'free' as 'free' | 'waiting' | 'turn' | 'over';
  const onTurn = (): void => {
    if (state === 'over') {
      turn.give();
      return;
    }
    state = 'turn';
    worker.taken(held);
    held = 0;
  };
  const onContent = (data: Buffer): boolean => {
    size += data.length;
    if (!collected.add(data)) worker.cancel(tooLong(maxBytes));
    if (state === 'free' && size > FREE_BYTES) {
      state = 'waiting';
      turn.take(onTurn);
    }
    if (state !== 'waiting') return false;
    held += data.length;
    return true;
  };
  try {
    await ask(worker, { message, paths, decode: decodeNothing, onContent });
    return collected.result();
  } finally {
    if (state === 'turn') turn.give();
    state = 'over';
  }
}

/** The guest sent more than the call may hold. */
export function tooLong(limitBytes: number): VmRuntimeError {
  const message = `the answer of the guest is longer than ${limitBytes} bytes`;
  return new VmRuntimeError('MICROVM_OUTPUT_LIMIT', message, {
    details: { stream: 'files', limitBytes },
    remedy: 'raise `maxBytes`, or read a long file by createReadStream',
  });
}
