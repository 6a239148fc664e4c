import { PowerLab, VolatileDisk } from '../src/index.js';

// The process that a test kills: it has a disk, and a host that has it mounted. Arguments: an image with
// ext4, and a folder.
const [image = '', folder = ''] = process.argv.slice(2);
const disk = await VolatileDisk.start(image);
const device = await disk.powerOn();
const host = PowerLab.boot({ path: new URL('./mounting-host.mjs', import.meta.url).pathname });
host.on('message', () => process.send?.(device));
host.send({ device, folder });
