import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HostCalls } from '@microvm/runtime';

/** One durable change of a file that the engine asked its host for. */
export type RecordedWrite =
  | { readonly kind: 'write'; readonly path: string; readonly sizeBytes: number }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string };

/** The same host, which notes every durable change. */
export function recordingHost(hostCalls: HostCalls, writes: RecordedWrite[]): HostCalls {
  return {
    bootId: () => hostCalls.bootId(),
    processIdentity: (pid) => hostCalls.processIdentity(pid),
    lockDirectory: (path) => hostCalls.lockDirectory(path),
    digestFile: (path, options) => hostCalls.digestFile(path, options),
    writeDurable(path, data, options) {
      writes.push({ kind: 'write', path, sizeBytes: Buffer.byteLength(data) });
      return hostCalls.writeDurable(path, data, options);
    },
    removeDurable(path) {
      writes.push({ kind: 'remove', path });
      return hostCalls.removeDurable(path);
    },
    renameDurable(from, to) {
      writes.push({ kind: 'rename', from, to });
      return hostCalls.renameDurable(from, to);
    },
  };
}

/**
 * Writes one file as durably as an atomic replacement can be written by hand: file and folder are on the disk
 * when it resolves.
 */
export async function writeByHand(path: string, data: Buffer): Promise<void> {
  const beside = `${path}.tmp`;
  const file = await open(beside, 'w');
  await file.writeFile(data);
  await file.sync();
  await file.close();
  await rename(beside, path);
  await syncFolder(dirname(path));
}

export async function removeByHand(path: string): Promise<void> {
  await unlink(path);
  await syncFolder(dirname(path));
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  await folder.sync();
  await folder.close();
}
