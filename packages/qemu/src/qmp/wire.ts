import { MIB, printable } from '@microvm/runtime';

/** What QEMU said by itself. */
export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type QmpMessage =
  | { readonly kind: 'greeting'; readonly version: string }
  | { readonly kind: 'return'; readonly id: unknown; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly id: unknown;
      readonly errorClass: string;
      readonly description: string;
    }
  | { readonly kind: 'event'; readonly event: QmpEvent };

// No answer of the commands used here comes near it; a peer that sends more is not QEMU.
const MAX_LINE_BYTES = MIB;
const MAX_VERSION_LENGTH = 64;
const QUOTED_LENGTH = 80;
const NEWLINE = 0x0a;

/** Cuts a byte stream into QMP messages: one JSON object a line. Throws on anything else. */
export class QmpDecoder {
  #parts: Buffer[] = [];
  #bytes = 0;

  push(chunk: Buffer): QmpMessage[] {
    const messages: QmpMessage[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#keep(chunk.subarray(start, end));
      const line = Buffer.concat(this.#parts).toString('utf8').trim();
      this.#parts = [];
      this.#bytes = 0;
      start = end + 1;
      if (line !== '') messages.push(parseMessage(line));
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start));
    return messages;
  }

  #keep(part: Buffer): void {
    this.#bytes += part.length;
    if (this.#bytes > MAX_LINE_BYTES) throw new Error(`a line of more than ${MAX_LINE_BYTES} bytes`);
    this.#parts.push(part);
  }
}

function parseMessage(line: string): QmpMessage {
  const message = asObject(JSON.parse(line) as unknown);
  if (message === undefined) throw new Error(`not a QMP message: ${printable(line, QUOTED_LENGTH)}`);
  const error = asObject(message['error']);
  if (error !== undefined) {
    const [errorClass, description] = [String(error['class']), String(error['desc'])];
    return { kind: 'error', id: message['id'], errorClass, description };
  }
  if (typeof message['event'] === 'string') {
    return { kind: 'event', event: { name: message['event'], data: asObject(message['data']) ?? {} } };
  }
  const greeting = asObject(message['QMP']);
  if (greeting !== undefined) return { kind: 'greeting', version: versionOf(greeting) };
  if ('return' in message) return { kind: 'return', id: message['id'], value: message['return'] };
  throw new Error(`not a QMP message: ${printable(line, QUOTED_LENGTH)}`);
}

function versionOf(greeting: Readonly<Record<string, unknown>>): string {
  const qemu = asObject(asObject(greeting['version'])?.['qemu']);
  const version = [qemu?.['major'], qemu?.['minor'], qemu?.['micro']].join('.');
  return printable(version, MAX_VERSION_LENGTH);
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}
