import type { Dimension } from './dimension.js';
import { boot } from './dimensions/boot.js';
import { clones } from './dimensions/clones.js';
import { lifecycle } from './dimensions/lifecycle.js';
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
  nativeVsock,
];
