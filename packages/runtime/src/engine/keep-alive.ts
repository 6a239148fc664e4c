const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Keeps Node's event loop alive while somebody awaits the runtime. The end of a VMM is watched without that,
 * so that a program may end while its VMs run on. But a script that awaits a command must not end before the
 * command does.
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
