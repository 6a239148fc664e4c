import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { linuxImages } from '@microvm/conformance/linux-guest';
import { ensureDefaultImage, openImages } from '@microvm/image';

/** The store of the images that the tests of this process make; it is not there before the first of them. */
export const suiteImageStore = join(tmpdir(), `suite-images-${randomBytes(8).toString('hex')}`);

/** A factory's `images`, with the default image's own busybox. */
export const suiteImages = linuxImages({
  builder: async () => openImages({ imageStore: suiteImageStore }),
  busybox: async () => join(dirname((await ensureDefaultImage()).dataDiskPath), 'busybox'),
  dispose: () => rm(suiteImageStore, { recursive: true, force: true }),
});
