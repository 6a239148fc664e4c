/** Those who wait for something to change; each looks again by itself when it is woken. */
export class Wakeups {
  #waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  wakeAll(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
