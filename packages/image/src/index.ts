export { DEFAULT_BOOT_ARGS, ensureDefaultImage, IMAGE_SETTINGS } from './default-image.js';
export type { DefaultImage, DefaultImageOptions } from './default-image.js';
export { ContentStore } from './content-store.js';
export { createDisk } from './disk.js';
export type { CreatedDisk, CreateDiskOptions } from './disk.js';
export type { ImageProgress, ImageStep } from './progress.js';
export { readJsonIfSound } from './read-json.js';
export { xdgFolder } from './xdg-folder.js';
