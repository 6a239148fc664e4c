import type { VmEvent } from '../contract/events.js';
import type { EventsOptions } from '../contract/options.js';
import { onAbort } from '../waiting/on-abort.js';
import { KeepAlive } from './keep-alive.js';

const DEFAULT_BUFFER_SIZE = 1024;

/** Hands events to any number of readers, each with a bounded buffer of its own. */
export class EventHub {
  readonly #readers = new Set<Reader>();
  readonly #keepAlive = new KeepAlive();

  /** Whether anybody would see an event. The caller skips the cost of making an event that nobody sees. */
  get hasReaders(): boolean {
    return this.#readers.size > 0;
  }

  emit(event: VmEvent): void {
    for (const reader of this.#readers) reader.push(event);
  }

  /** A new reader; it is subscribed from this call on, not from its first read. */
  read(options: EventsOptions = {}): AsyncIterable<VmEvent> {
    let stopWatching = (): void => undefined;
    const reader = new Reader(options.bufferSize ?? DEFAULT_BUFFER_SIZE, this.#keepAlive, () => {
      this.#readers.delete(reader);
      stopWatching();
    });
    this.#readers.add(reader);
    stopWatching = onAbort(options.signal, () => reader.end());
    return { [Symbol.asyncIterator]: () => reader };
  }

  /** Ends every reader once it has read what is buffered. */
  close(): void {
    for (const reader of this.#readers) reader.end();
  }
}

class Reader implements AsyncIterator<VmEvent> {
  readonly #bufferSize: number;
  readonly #keepAlive: KeepAlive;
  readonly #onEnd: () => void;
  #buffer: VmEvent[] = [];
  #missed = 0;
  #ended = false;
  #waiting: ((result: IteratorResult<VmEvent>) => void)[] = [];

  constructor(bufferSize: number, keepAlive: KeepAlive, onEnd: () => void) {
    this.#bufferSize = bufferSize;
    this.#keepAlive = keepAlive;
    this.#onEnd = onEnd;
  }

  push(event: VmEvent): void {
    if (this.#waiting.length > 0) {
      this.#answer({ done: false, value: event });
      return;
    }
    this.#buffer.push(event);
    if (this.#buffer.length > this.#bufferSize) {
      this.#buffer.shift();
      this.#missed += 1;
    }
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd();
    while (this.#waiting.length > 0) this.#answer({ done: true, value: undefined });
  }

  next(): Promise<IteratorResult<VmEvent>> {
    const first = this.#buffer[0];
    if (this.#missed > 0 && first !== undefined) {
      const lagged: VmEvent = { type: 'lagged', at: first.at, missed: this.#missed };
      this.#missed = 0;
      return Promise.resolve({ done: false, value: lagged });
    }
    const event = this.#buffer.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    this.#keepAlive.hold();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<VmEvent>> {
    this.#buffer = [];
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  #answer(result: IteratorResult<VmEvent>): void {
    this.#waiting.shift()?.(result);
    this.#keepAlive.release();
  }
}
