import { isAbsolute } from 'node:path';
import { invalidArgument, isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
import { ProgramFailed, runProgram } from '../host/program.js';
import type { OnImageProgress } from '../progress.js';

/** How a registry is reached. What is absent is as skopeo has it by its own files and environment. */
export interface RegistryOptions {
  /** File with the credentials of registries, as `skopeo login` and `docker login` write it. */
  readonly authFile?: string | undefined;
  /** Folder of certificates (`*.crt`, `*.cert`, `*.key`) for the registry. */
  readonly certDir?: string | undefined;
  /** False: plain HTTP, or a certificate that nobody vouches for. */
  readonly tlsVerify?: boolean | undefined;
  /** How often a failed request is sent again; default 2. */
  readonly retries?: number | undefined;
}

export interface RegistryCall extends RegistryOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnImageProgress | undefined;
}

/** The tag that an image has in the layout that skopeo reads from or writes to. */
export const LAYOUT_TAG = 'image';

export interface SkopeoCopy {
  readonly from: string;
  readonly to: string;
  /** Which of the two is the registry. */
  readonly registry: 'src' | 'dest';
  readonly sharedBlobDir: string;
  readonly options: RegistryOptions;
  /** Folder for what skopeo keeps only while it runs. */
  readonly tmpDir: string;
  /** Where the digest of the manifest that was written is put. */
  readonly digestFile?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for each blob and document that was copied. */
  readonly onCopied?: ((count: number) => void) | undefined;
}

const DEFAULT_RETRIES = 2;

/**
 * Copies an image by skopeo, which knows registries, their credentials, mirrors and proxies. It is killed
 * when it is aborted, and when this process dies.
 */
export async function skopeoCopy(copy: SkopeoCopy): Promise<void> {
  const { from, to, registry, sharedBlobDir, options, tmpDir, digestFile, signal, onCopied } = copy;
  const layout = registry === 'src' ? 'dest' : 'src';
  const { retries = DEFAULT_RETRIES, authFile, certDir, tlsVerify } = options;
  const args = [
    ...['--tmpdir', tmpDir, '--override-os', 'linux', '--override-arch', 'amd64', 'copy'],
    ...['--retry-times', String(retries), `--${layout}-shared-blob-dir`, sharedBlobDir],
    ...(authFile === undefined ? [] : [`--${registry}-authfile`, authFile]),
    ...(certDir === undefined ? [] : [`--${registry}-cert-dir`, certDir]),
    ...(tlsVerify === undefined ? [] : [`--${registry}-tls-verify=${tlsVerify}`]),
    ...(digestFile === undefined ? [] : ['--digestfile', digestFile]),
    ...['--', from, to],
  ];
  let copied = 0;
  const onOutputLine = (line: string): void => {
    if (/^Copying (blob|config) |^Writing manifest /.test(line)) onCopied?.((copied += 1));
  };
  await runProgram('skopeo', args, { signal, onOutputLine, diesWithUs: true });
}

/** A skopeo that ran and failed, as an error that says what it said. */
export function registryFailure(error: unknown, operation: string): unknown {
  if (isVmRuntimeError(error) || !(error instanceof ProgramFailed) || error.program !== 'skopeo')
    return error;
  const said = /msg="((?:[^"\\]|\\.)*)"/.exec(error.stderrTail)?.[1]?.replaceAll('\\"', '"');
  if (/No space left on device/.test(error.stderrTail)) return error;
  const isDenied = /unauthorized|authentication required|access denied|denied:/i.test(error.stderrTail);
  return new VmRuntimeError('MICROVM_HOST_FAILURE', `${operation}: ${said ?? error.message}`, {
    details: { operation },
    cause: error,
    remedy: isDenied
      ? 'log in with `skopeo login REGISTRY`, or name a file of credentials: authFile, --auth-file'
      : 'see whether `skopeo inspect` can read the image: name, network, proxy, certificates',
  });
}

// Transports of skopeo that name an image by themselves.
const TRANSPORT = /^(docker|docker-daemon|containers-storage|docker-archive|oci|oci-archive|dir):/;

/** What skopeo calls an image: a reference of a registry has its transport added. */
export function skopeoName(reference: string): string {
  return TRANSPORT.test(reference) ? reference : `docker://${reference}`;
}

/**
 * What skopeo calls an image in a layout of ours.
 *
 * @throws MICROVM_INVALID_ARGUMENT for a store below a path that skopeo would cut in two, and write elsewhere
 */
export function layoutName(layout: string, tag: string): string {
  if (!layout.includes(':')) return `oci:${layout}:${tag}`;
  throw invalidArgument('imageStore', `a path without ":" for what goes by skopeo, not "${layout}"`);
}

/** The name in a registry of a reference for skopeo; undefined for what has none, such as a folder. */
export function registryName(reference: string): string | undefined {
  const [, transport, rest = ''] =
    /^(docker:\/\/|docker-daemon:|containers-storage:)(.*)$/.exec(skopeoName(reference)) ?? [];
  if (transport === undefined || rest.startsWith('[') || isAbsolute(rest)) return undefined;
  return rest;
}
