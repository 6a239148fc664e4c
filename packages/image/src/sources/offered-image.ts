import type { FilePart } from './image-files.js';
import type { Config, Manifest } from './documents.js';

/** One blob as its manifest describes it. `digest` is SHA-256 in hex. */
export interface OfferedBlob {
  readonly digest: string;
  readonly sizeBytes: number;
  /** For errors. */
  readonly name: string;
  /** A file of the caller's own beside the store, whose digest was checked: it need not be copied. */
  readonly ownPath?: string | undefined;
  /** The caller closes it. */
  open(): Promise<FilePart>;
}

/** An image as a source offers it. Its documents are checked; its layers are checked as they are read. */
export interface OfferedImage {
  readonly source: string;
  /** SHA-256 of the manifest, in hex. */
  readonly digest: string;
  readonly manifest: Manifest;
  readonly manifestData: Buffer;
  readonly config: Config;
  readonly configData: Buffer;
  /** Lowest first. */
  readonly layers: readonly OfferedBlob[];
}

/** The hex digits of a `sha256:` digest. */
export function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}
