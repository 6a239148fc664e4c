import type { Environment } from '../contract/environment.js';
import type { JobProgress } from '../contract/views.js';

/** What an image says of the commands that run in it. */
export interface ImageConfig {
  /** Below the VM's own environment and that of a command. */
  readonly env: Environment;
  /** Where commands start that name no folder; made in the guest where it is absent. Empty: `/`. */
  readonly workingDir: string;
  /** Who commands run as that name no user: `name`, `uid`, `user:group`. Empty: root. */
  readonly user: string;
  /** A command without arguments of its own runs `entrypoint` and then `cmd`. */
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** What a stop sends to the image's own process first, such as `SIGTERM`; absent: the default. */
  readonly stopSignal?: string | undefined;
}

/** An image that a name stood for at one moment. */
export interface ResolvedImage {
  /** Of its manifest: `sha256:` and 64 hex digits. It stays true, whatever a name means later. */
  readonly digest: string;
  /** Its root file system on the host: one squashfs file that is never written again. */
  readonly rootfsPath: string;
  readonly config: ImageConfig;
  /** Called once, when the file at `rootfsPath` is not needed any more: its VM reads a copy or a link. */
  release?(): void;
}

export interface ResolveCall {
  readonly signal: AbortSignal;
  /** Told of long work, such as the unpacking of an image that was only fetched so far. */
  readonly progress?: ((progress: JobProgress) => void) | undefined;
}

/** The engine's port to the images of this user: root file systems that VMs are made from. */
export interface Images {
  /**
   * The image that a name, or a `sha256:` digest, stands for now. It stays until its `release`. Rejects with
   * `MICROVM_IMAGE_NOT_FOUND` for a name that nothing stands behind, with `MICROVM_IMAGE_INVALID` for an
   * image that is damaged, or with the signal's reason.
   */
  resolve(reference: string, call: ResolveCall): Promise<ResolvedImage>;
}
