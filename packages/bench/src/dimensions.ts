import type { Dimension } from './dimension.js';
import { boot } from './dimensions/boot.js';
import { clones } from './dimensions/clones.js';
import { firecracker } from './dimensions/firecracker.js';
import { firecrackerFirst } from './dimensions/firecracker-first.js';
import { guest } from './dimensions/guest.js';
import { images } from './dimensions/images.js';
import { lifecycle } from './dimensions/lifecycle.js';
import { nativeDurable } from './dimensions/native-durable.js';
import { nativeEventLoop } from './dimensions/native-event-loop.js';
import { nativeNetwork } from './dimensions/native-network.js';
import { nativeProcess } from './dimensions/native-process.js';
import { nativeFiles } from './dimensions/native-files.js';
import { nativeVsock } from './dimensions/native-vsock.js';
import { open } from './dimensions/open.js';
import { restore } from './dimensions/restore.js';
import { scale } from './dimensions/scale.js';

/** In the order in which they run. */
export const DIMENSIONS: readonly Dimension[] = [
  boot,
  restore,
  clones,
  lifecycle,
  scale,
  open,
  nativeFiles,
  nativeDurable,
  nativeNetwork,
  nativeProcess,
  nativeEventLoop,
  nativeVsock,
  firecracker,
  firecrackerFirst,
  guest,
  images,
];

/** Those of a name, or of a group: `native` is every `native-…`; no name at all is all of them. */
export function chooseDimensions(names: readonly string[]): readonly Dimension[] {
  const isMeant = (dimension: Dimension, name: string): boolean =>
    dimension.name === name || dimension.name.startsWith(`${name}-`);
  const unknown = names.find((name) => !DIMENSIONS.some((dimension) => isMeant(dimension, name)));
  if (unknown !== undefined) throw new Error(`no benchmark "${unknown}"`);
  if (names.length === 0) return DIMENSIONS;
  return DIMENSIONS.filter((dimension) => names.some((name) => isMeant(dimension, name)));
}
