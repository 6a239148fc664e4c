/** What a file holds; undefined: it is not there. */
export type Content = Buffer | undefined;

const MOST_POSSIBLE = 4;
const EMPTY = Buffer.alloc(0);

/**
 * What a file may hold. A change that a cut has broken off was made or not, and an append was made in part,
 * so that there may be several contents, until the file is written anew.
 */
export class FileContents {
  #possible: readonly Content[] = [undefined];
  /** An append that was broken off: each of its beginnings may be there. */
  #tail: Buffer | undefined;

  /** So little is known that the next change must write the whole file. */
  get isVague(): boolean {
    return this.#tail !== undefined || this.#possible.length > MOST_POSSIBLE;
  }

  allows(found: Content): boolean {
    return this.#possible.some((one) => {
      if (found === undefined) return one === undefined;
      if (this.#tail === undefined) return one?.equals(found) === true;
      const before = one ?? EMPTY;
      const added = found.subarray(before.length);
      return (
        found.subarray(0, before.length).equals(before) && added.equals(this.#tail.subarray(0, added.length))
      );
    });
  }

  /** A change that was made. */
  change(made: (before: Content) => Content): void {
    this.#possible = this.#possible.map(made);
    this.#tail = undefined;
  }

  /** A change that was made whole or not at all. */
  mayChange(made: (before: Content) => Content): void {
    this.#possible = [...this.#possible, ...this.#possible.map(made)];
  }

  /** An append that was made in part. */
  mayGrow(tail: Buffer): void {
    this.#tail = tail;
  }

  describe(): string {
    const contents = this.#possible.map((one) => (one === undefined ? 'nothing' : `${one.length} bytes`));
    return contents.join(' or ') + (this.#tail === undefined ? '' : ` and up to ${this.#tail.length} more`);
  }
}
