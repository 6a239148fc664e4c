import { LocalImages } from '../../src/images/local-images.js';

/** Imports an image, and tells when it makes the root file system. */
const [store = '', source = '', name = ''] = process.argv.slice(2);
let isTold = false;
await new LocalImages(store).import(source, name, {
  onProgress: ({ step }) => {
    if (step === 'root file system' && !isTold) process.send?.(step);
    isTold ||= step === 'root file system';
  },
});
process.disconnect();
