const MOST_BYTES = 256 * 1024;

/** The last bytes of one output of a scripted command, as the real agent keeps them. */
export class ScriptedRing {
  #chunks: Buffer[] = [];
  #first = 0;
  #end = 0;

  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#end;
  }

  /** How many bytes can be added without losing one at or behind the offset `keep`. */
  roomBehind(keep: number): number {
    return MOST_BYTES - (this.#end - Math.max(this.#first, keep));
  }

  /** Adds a copy. */
  push(data: Buffer): void {
    this.#chunks.push(Buffer.from(data));
    this.#end += data.length;
    while (this.#end - this.#first > MOST_BYTES) {
      const [oldest] = this.#chunks;
      if (oldest === undefined) return;
      const excess = Math.min(oldest.length, this.#end - this.#first - MOST_BYTES);
      this.#first += excess;
      if (excess === oldest.length) this.#chunks.shift();
      else this.#chunks[0] = oldest.subarray(excess);
    }
  }

  /** Some of what stands from an offset on; empty at the end. */
  read(from: number, most: number): Buffer {
    let begin = this.#end;
    for (let at = this.#chunks.length - 1; at >= 0; at--) {
      const chunk = this.#chunks[at];
      if (chunk === undefined) break;
      begin -= chunk.length;
      if (begin > from) continue;
      return chunk.subarray(from - begin, from - begin + most);
    }
    return Buffer.alloc(0);
  }
}
