import { randomBytes } from 'node:crypto';
import { link, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { copyFile, digestFile, putDurable } from '@microvm/native';
import {
  MIB,
  sweepAll,
  type Content,
  type ContentCall,
  type PinnedContent,
  type Sweep,
} from '@microvm/runtime';
import { ContentNotes } from './content-notes.js';
import { contentIdentity, isSameFile, SEALED_MODE, versionOf, type SourceVersion } from './file-identity.js';
import { hasCode, ignoreAbsent } from '../host/system-error.js';

const DIGEST = /^[0-9a-f]{64}$/;
// Files without a user stay as long as all of them take no more than this: the next VM often wants the same
// kernel.
const IDLE_BYTES = 512 * MIB;

/**
 * Files by their content, each in the folder under its digest: root-owned or the user's own, readable, never
 * written. What a VM reads is a file of the store, so that it does not matter what becomes of the file that
 * the caller named. A source that nobody may write to comes in as a hard link, where it is on the same file
 * system; else it is copied. Hard links and reflinks of a file live on when it is removed. One process owns
 * the folder.
 */
export class ContentStore implements Content {
  readonly #folder: string;
  readonly #notes: ContentNotes;
  readonly #holds = new Map<string, number>();
  /** Sources that are being brought in, by their version. */
  readonly #coming = new Map<string, Promise<PinnedContent>>();
  /** Digests whose file is being removed. */
  readonly #leaving = new Map<string, Promise<void>>();

  constructor(folder: string) {
    this.#folder = folder;
    this.#notes = new ContentNotes(folder);
  }

  /** Makes the folder and removes what a killed process left half made. Rejects with the system's error. */
  async open(): Promise<Sweep> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#notes.open();
    const names = await readdir(this.#folder);
    const strangers = names.filter((name) => !DIGEST.test(name) && !ContentNotes.FILES.includes(name));
    return sweepAll(
      strangers.map((name) => ({
        what: join(basename(this.#folder), name),
        remove: () => rm(join(this.#folder, name), { recursive: true, force: true }),
      })),
    );
  }

  path(digest: string): string {
    return join(this.#folder, digest);
  }

  async has(digest: string): Promise<boolean> {
    return (await stat(this.path(digest)).catch(ignoreAbsent)) !== undefined;
  }

  async pin(path: string, call: ContentCall): Promise<PinnedContent> {
    const version = await versionOf(path, this.#folder);
    const known = await this.#known(path, version, call);
    if (known !== undefined) return known;
    // The call that brings the file in may be aborted. A call that waits for the same file then brings it in.
    for (;;) {
      const other = this.#coming.get(version.key);
      if (other === undefined) return this.#bringInOnce(path, version, call);
      const file = await other.catch(() => undefined);
      call.signal.throwIfAborted();
      if (file === undefined) continue;
      this.hold(file.digest);
      return file;
    }
  }

  hold(digest: string): void {
    this.#holds.set(digest, (this.#holds.get(digest) ?? 0) + 1);
    this.#notes.use(digest);
  }

  release(digest: string): void {
    const left = (this.#holds.get(digest) ?? 1) - 1;
    if (left === 0) this.#holds.delete(digest);
    else this.#holds.set(digest, left);
  }

  async problem({ digest, sizeBytes }: PinnedContent, { signal }: ContentCall): Promise<string | undefined> {
    await this.#leaving.get(digest);
    const path = this.path(digest);
    const found = await stat(path).catch(ignoreAbsent);
    if (found === undefined) return 'there is no such file';
    const identity = await contentIdentity(path, sizeBytes);
    if (identity !== undefined && this.#notes.isVerified(digest, identity)) return undefined;
    const actual = identity === undefined ? undefined : (await digestFile(path, { signal })).root;
    if (identity !== undefined && actual === digest) {
      await this.#notes.verified(digest, identity);
      return undefined;
    }
    await this.#remove(digest);
    return actual === undefined
      ? `it has ${found.size} bytes, not ${sizeBytes}: it is damaged`
      : `its digest is ${actual}: it is damaged`;
  }

  async sweep(inUse: ReadonlySet<string>): Promise<void> {
    // A file that is coming in has no user yet. Whoever releases the file sweeps again.
    if (this.#coming.size > 0) return;
    const names = await readdir(this.#folder);
    const idle = names.filter((name) => DIGEST.test(name) && !inUse.has(name));
    let keptBytes = 0;
    for (const digest of this.#notes.lastUsedFirst(idle)) {
      const found = await stat(this.path(digest)).catch(ignoreAbsent);
      keptBytes += found?.size ?? 0;
      if (keptBytes > IDLE_BYTES && !this.#holds.has(digest)) await this.#remove(digest);
    }
  }

  /** The file of a source that came in before, if it is still what it was. Holds it. */
  async #known(
    source: string,
    { key, isLinkable }: SourceVersion,
    call: ContentCall,
  ): Promise<PinnedContent | undefined> {
    const file = this.#notes.source(key);
    if (file === undefined) return undefined;
    // The key of a source that can be linked says less: it must be the file of the store itself.
    if (isLinkable && !(await isSameFile(source, this.path(file.digest)))) return undefined;
    this.hold(file.digest);
    try {
      if ((await this.problem(file, call)) === undefined) return file;
    } catch (error) {
      this.release(file.digest);
      throw error;
    }
    this.release(file.digest);
    return undefined;
  }

  async #bringInOnce(source: string, version: SourceVersion, call: ContentCall): Promise<PinnedContent> {
    const coming = this.#bringIn(source, version, call);
    this.#coming.set(version.key, coming);
    try {
      const file = await coming;
      this.hold(file.digest);
      return file;
    } finally {
      this.#coming.delete(version.key);
    }
  }

  /**
   * Digests the copy and not the source, so that the name fits the content even when somebody writes to the
   * source meanwhile.
   */
  async #bringIn(source: string, version: SourceVersion, { signal }: ContentCall): Promise<PinnedContent> {
    const partial = join(this.#folder, `.${randomBytes(8).toString('hex')}.partial`);
    try {
      await takeIn(source, partial, { isLinkable: version.isLinkable, signal });
      const { root: digest, sizeBytes } = await digestFile(partial, { signal });
      await this.#leaving.get(digest);
      // Content first, then the name: a power cut finds the whole file or none.
      await putDurable({ move: partial }, this.path(digest), { mode: SEALED_MODE });
      const file = { digest, sizeBytes };
      const identity = await contentIdentity(this.path(digest), sizeBytes);
      if (version.isSettled) this.#notes.cameFrom(version.key, file);
      if (identity !== undefined) await this.#notes.verified(digest, identity);
      return file;
    } finally {
      await rm(partial, { force: true }).catch(() => undefined);
    }
  }

  async #remove(digest: string): Promise<void> {
    const removal = rm(this.path(digest), { force: true });
    this.#leaving.set(digest, removal);
    this.#notes.forget(digest);
    try {
      await removal;
    } finally {
      this.#leaving.delete(digest);
    }
  }
}

/** Links a source where that is possible, and copies it, by reflink if it can be, where it is not. */
async function takeIn(
  source: string,
  partial: string,
  { isLinkable, signal }: { readonly isLinkable: boolean; readonly signal: AbortSignal },
): Promise<void> {
  try {
    if (isLinkable) return await link(source, partial);
  } catch (error) {
    // A file system without links, or where this user may make none; another mount of it; too many links.
    if (!hasCode(error, 'EXDEV', 'EPERM', 'EOPNOTSUPP', 'EMLINK')) throw error;
  }
  await copyFile(source, partial, { sparse: true, signal });
}
