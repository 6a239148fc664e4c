export { DEFAULT_BOOT_ARGS, ensureDefaultImage, IMAGE_SETTINGS } from './default/default-image.js';
export type { DefaultImage, DefaultImageOptions } from './default/default-image.js';
export { ContentStore } from './content/content-store.js';
export { createDisk } from './disks/disk.js';
export type { CreatedDisk, CreateDiskOptions } from './disks/disk.js';
export type { ImageProgress, ImageStep } from './progress.js';
export { readJsonIfSound } from './host/read-json.js';
export { xdgFolder } from './host/xdg-folder.js';
