import { fileURLToPath } from 'node:url';

/**
 * The folder with the kernel, its modules and busybox, and a `manifest.json` that lists them. It is there in
 * the published package, and in a checkout after `npm run package -w @microvm/default-image`.
 */
export const baseFolder = fileURLToPath(new URL('../base', import.meta.url));
