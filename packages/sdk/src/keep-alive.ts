const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Keeps Node alive while somebody awaits us. Drivers unref their sockets and watches, so that a forgotten VM does not hold a
 * script open; without this, a script that awaits a command would end in the middle of it.
 */
export class KeepAlive {
  #waiting = 0;
  #timer: NodeJS.Timeout | undefined;

  async during<T>(work: PromiseLike<T>): Promise<T> {
    this.hold();
    try {
      return await work;
    } finally {
      this.release();
    }
  }

  hold(): void {
    this.#waiting += 1;
    this.#timer ??= setInterval(() => undefined, LONGEST_TIMER_MS);
  }

  release(): void {
    this.#waiting -= 1;
    if (this.#waiting > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
