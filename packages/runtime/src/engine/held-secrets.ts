import { secretBytes, secretOwner, type SecretValue, type SecretView } from '../contract/secrets.js';
import type { GuestSecret, GuestSecrets } from '../ports/driver.js';

/** Bytes that are shown nowhere: neither in JSON nor by `console.log`. */
class Secret implements GuestSecret {
  readonly #bytes: Buffer;
  readonly #owner: string;

  constructor(value: SecretValue) {
    this.#bytes = secretBytes(value);
    this.#owner = secretOwner(value);
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  get owner(): string {
    return this.#owner;
  }

  wipe(): void {
    this.#bytes.fill(0);
  }
}

/**
 * The secrets of one VM as this process knows them, in memory alone. `given` are values that this owner was
 * given. `held` are names that the guest's agent has: of given ones, and of those that came with a snapshot,
 * whose values nobody here knows.
 */
export class HeldSecrets {
  #given = new Map<string, Secret>();
  #held = new Set<string>();
  #isDue = false;
  /** Names that the agent may have although it should not: it was not told yet that they are gone. */
  #doubtful: readonly string[] = [];
  /** As it was before the operation at work. */
  #before: ReadonlyMap<string, Secret> | undefined;

  /** Names of all that the guest's memory may have. */
  get inMemory(): readonly string[] {
    return [...new Set([...this.#given.keys(), ...this.#held, ...this.#doubtful])];
  }

  has(name: string): boolean {
    return this.#given.has(name) || this.#held.has(name);
  }

  /** The value is there, so that a guest that boots can be given it. */
  isGiven(name: string): boolean {
    return this.#given.has(name);
  }

  /** Sizes in bytes of the values that are known. */
  sizes(): readonly { readonly name: string; readonly bytes: number }[] {
    return [...this.#given].map(([name, { bytes }]) => ({ name, bytes: bytes.length }));
  }

  views(names: readonly string[]): readonly SecretView[] {
    return names.map((name) => ({ name, state: this.has(name) ? 'present' : 'missing' }));
  }

  /** What the agent must still be told; undefined: nothing. */
  pending(): GuestSecrets | undefined {
    if (!this.#isDue) return undefined;
    const given = [...this.#given].filter(([name]) => !this.#held.has(name));
    return { keep: [...this.#held], give: new Map(given) };
  }

  give(name: string, value: SecretValue): void {
    this.#given.set(name, new Secret(value));
    this.#held.delete(name);
    this.#isDue = true;
  }

  withdraw(name: string): void {
    this.#given.delete(name);
    this.#held.delete(name);
    this.#isDue = true;
  }

  /** The driver has told the agent what was pending. */
  told(): void {
    for (const name of this.#given.keys()) this.#held.add(name);
    this.#isDue = false;
    this.#doubtful = [];
  }

  /** A cold boot: its agent has none. */
  beginLife(): void {
    this.#held.clear();
    this.#isDue = this.#given.size > 0;
    this.#doubtful = [];
  }

  /** The guest comes from a snapshot whose agent has secrets: those that stay, all others must go. */
  inherit(captured: readonly string[], kept: readonly string[]): void {
    this.#held = new Set(kept.filter((name) => !this.#given.has(name)));
    this.#doubtful = captured;
    this.#isDue = captured.length > 0 || this.#given.size > 0;
  }

  /** An earlier owner told the agent these; they are to go. */
  disown(names: readonly string[]): void {
    this.#held.clear();
    this.#doubtful = names;
    this.#isDue = true;
  }

  /** An operation begins, which may be rolled back. */
  begin(): void {
    this.#before = new Map(this.#given);
  }

  /** The operation succeeded. */
  commit(): void {
    this.#dropAllBut(this.#before ?? new Map(), this.#given);
    this.#before = undefined;
  }

  /** The operation failed: what it changed is as before, and the agent must be told so. */
  rollBack(): void {
    const before = this.#before;
    if (before === undefined) return;
    const after = this.#given;
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      if (before.get(name) === after.get(name)) continue;
      this.#held.delete(name);
      this.#isDue = true;
    }
    this.#dropAllBut(after, before);
    this.#given = new Map(before);
    this.#before = undefined;
  }

  /** The guest's life is over, or the runtime's: all are gone. */
  clear(): void {
    for (const secret of this.#given.values()) secret.wipe();
    this.#given.clear();
    this.#held.clear();
    this.#isDue = false;
    this.#doubtful = [];
  }

  #dropAllBut(all: ReadonlyMap<string, Secret>, kept: ReadonlyMap<string, Secret>): void {
    const stays = new Set(kept.values());
    for (const secret of all.values()) if (!stays.has(secret)) secret.wipe();
  }
}
