import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { packDefaultImage } from '@microvm/image/packaging';

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error('usage: node default-image.mjs FOLDER, which is made anew');
  process.exit(2);
}
await rm(folder, { recursive: true, force: true });
const { key } = await packDefaultImage(resolve(folder));
console.log(`${folder}: ${key}`);
