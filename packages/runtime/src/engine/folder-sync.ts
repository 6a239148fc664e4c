/**
 * Makes the names in a folder durable. Callers that come during a sync share the next one. So each caller
 * waits for a sync that began after its call, and its name is durable then.
 */
export class FolderSync {
  readonly #sync: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `sync`: one wait for the disk. */
  constructor(sync: () => Promise<void>) {
    this.#sync = sync;
  }

  /** Resolves when what was in the folder at the call is on the disk. Rejects as the sync does. */
  run(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const running = this.#sync().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
