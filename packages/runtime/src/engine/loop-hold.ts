// The longest delay that a timer takes.
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Keeps Node's event loop alive while somebody waits for what does not keep it alive itself: the end of a VMM is watched without, so
 * that a program may end while its VMs run on.
 */
export class LoopHold {
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;

  take(): void {
    this.#holders += 1;
    this.#timer ??= setInterval(() => undefined, LONGEST_MS);
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
