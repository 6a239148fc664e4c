import { printable } from '@microvm/runtime';
import { MAX_OFFSET, ProtocolError } from './protocol.js';

/** Reads the fields of one payload; each read that does not fit throws a `ProtocolError`. */
export class PayloadReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  raw(size: number): Buffer {
    if (this.#at + size > this.#bytes.length) throw new ProtocolError('payload too short');
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  u8(): number {
    return this.raw(1).readUInt8(0);
  }

  u16(): number {
    return this.raw(2).readUInt16LE(0);
  }

  u32(): number {
    return this.raw(4).readUInt32LE(0);
  }

  u64(): bigint {
    return this.raw(8).readBigUInt64LE(0);
  }

  /** Where in an output a byte is. */
  offset(): number {
    const value = this.u64();
    if (value > MAX_OFFSET) throw new ProtocolError('offset out of range');
    return Number(value);
  }

  blob(maxBytes: number): Buffer {
    const size = this.u32();
    if (size > maxBytes) throw new ProtocolError(`field of ${size} bytes`);
    return this.raw(size);
  }

  text(maxBytes: number): string {
    const text = this.blob(maxBytes).toString('utf8');
    if (text.includes('\0')) throw new ProtocolError('NUL in a string');
    return text;
  }

  /**
   * A text of the guest's that people will read, in an error or a view: never raw, as the guest may be
   * hostile.
   */
  words(maxBytes: number): string {
    return printable(this.text(maxBytes));
  }

  /** One of a closed list, numbered from `first`. */
  oneOf<T>(values: readonly T[], first: number): T {
    const value = values[this.u8() - first];
    if (value === undefined) throw new ProtocolError('value out of range');
    return value;
  }

  /** All that is left. */
  rest(): Buffer {
    return this.raw(this.#bytes.length - this.#at);
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new ProtocolError('payload too long');
  }
}

/** Builds one payload. */
export class PayloadWriter {
  readonly #parts: Buffer[] = [];

  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  u8(value: number): this {
    return this.raw(Buffer.of(value));
  }

  u16(value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16LE(value);
    return this.raw(bytes);
  }

  u32(value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    return this.raw(bytes);
  }

  u64(value: bigint): this {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    return this.raw(bytes);
  }

  blob(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(Buffer.from(bytes));
  }

  text(text: string): this {
    return this.blob(Buffer.from(text, 'utf8'));
  }

  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
