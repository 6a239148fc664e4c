/** So many may go on at once; who comes then waits for a place, in turn. */
export class Places {
  readonly most: number;
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.most = most;
  }

  get areTaken(): boolean {
    return this.#taken >= this.most;
  }

  /** Calls back when there is a place, which is then taken. */
  take(begin: () => void): void {
    if (this.areTaken) {
      this.#waiting.push(begin);
    } else {
      this.#taken += 1;
      begin();
    }
  }

  /** Waits no more; false when it does not wait. */
  withdraw(begin: () => void): boolean {
    const at = this.#waiting.indexOf(begin);
    if (at >= 0) this.#waiting.splice(at, 1);
    return at >= 0;
  }

  give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken -= 1;
    else next();
  }
}
