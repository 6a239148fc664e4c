export { bundleScript } from './bundle.js';
export { lostFsync } from './lost-fsync.js';
export { formatImage, FILE_SYSTEMS } from './file-systems.js';
export type { FileSystem } from './file-systems.js';
export { PowerLab } from './power-lab.js';
export { VolatileDisk } from './volatile-disk.js';
export type { CutCounts, Survival } from './volatile-disk.js';
