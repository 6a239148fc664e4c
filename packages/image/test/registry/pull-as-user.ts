import { bootId } from '@microvm/native';
import { LocalImages } from '../../src/images/local-images.js';

/** Pulls an image as a user of its own, who could not even read the sources of this program. */
const [store = '', reference = '', authFile = '', uid = ''] = process.argv.slice(2);
// Loads the addon while that is still allowed.
bootId();
process.setgroups?.([]);
process.setgid?.(Number(uid));
process.setuid?.(Number(uid));
const images = new LocalImages(store);
await images.pull(reference, { authFile, tlsVerify: false, as: 'app' });
const { digest, rootfsPath, config } = await images.resolve('app', { signal: new AbortController().signal });
process.send?.({ digest, rootfsPath, config });
process.disconnect();
