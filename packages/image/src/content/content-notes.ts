import { join } from 'node:path';
import { bootId, writeDurable } from '@microvm/native';
import type { PinnedContent } from '@microvm/runtime';
import { z } from 'zod';
import { readJsonIfSound } from '../host/read-json.js';

const FILE = 'verified.json';
// More sources than a host has kernels and templates. The sources that came in last are kept.
const SOURCES_KEPT = 256;

const fileSchema = z.strictObject({ digest: z.string().length(64), sizeBytes: z.int().nonnegative() });
const notesSchema = z.strictObject({
  bootId: z.string(),
  /** Files that were read whole in that boot of the host, and what they were like then. */
  verified: z.record(z.string(), z.string()),
  /** The file that came of each version of a source. */
  sources: z.record(z.string(), fileSchema),
});

/**
 * What a content store remembers to save work: which sources it has taken in, and which of its files were
 * read whole since the host booted. Without its file, or with an unreadable one, sources are copied and files
 * are read once more.
 */
export class ContentNotes {
  static readonly FILES: readonly string[] = [FILE, `.spare-${FILE}`];
  readonly #path: string;
  readonly #verified = new Map<string, string>();
  readonly #sources = new Map<string, PinnedContent>();
  /** Digests in the order of their last use in this process. */
  readonly #used = new Set<string>();

  constructor(folder: string) {
    this.#path = join(folder, FILE);
  }

  async open(): Promise<void> {
    const notes = await readJsonIfSound(this.#path, notesSchema);
    for (const [version, file] of Object.entries(notes?.sources ?? {})) this.#sources.set(version, file);
    if (notes?.bootId !== bootId()) return;
    for (const [digest, identity] of Object.entries(notes.verified)) this.#verified.set(digest, identity);
  }

  source(version: string): PinnedContent | undefined {
    return this.#sources.get(version);
  }

  isVerified(digest: string, identity: string): boolean {
    return this.#verified.get(digest) === identity;
  }

  use(digest: string): void {
    this.#used.delete(digest);
    this.#used.add(digest);
  }

  lastUsedFirst(digests: readonly string[]): readonly string[] {
    const order = [...this.#used];
    return digests.toSorted((a, b) => order.indexOf(b) - order.indexOf(a));
  }

  verified(digest: string, identity: string): Promise<void> {
    this.#verified.set(digest, identity);
    return this.#save();
  }

  cameFrom(version: string, file: PinnedContent): void {
    this.#sources.delete(version);
    this.#sources.set(version, file);
    for (const oldest of [...this.#sources.keys()].slice(0, -SOURCES_KEPT)) this.#sources.delete(oldest);
  }

  forget(digest: string): void {
    this.#verified.delete(digest);
    this.#used.delete(digest);
    for (const [version, file] of this.#sources) {
      if (file.digest === digest) this.#sources.delete(version);
    }
  }

  async #save(): Promise<void> {
    const notes: z.infer<typeof notesSchema> = {
      bootId: bootId(),
      verified: Object.fromEntries(this.#verified),
      sources: Object.fromEntries(this.#sources),
    };
    await writeDurable(this.#path, JSON.stringify(notes), { keepSpare: true });
  }
}
