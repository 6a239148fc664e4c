import { microvm } from '@microvm/sdk';

// Bring an image in first: npx microvm-image pull docker.io/library/python:3-slim app
const image = process.argv[2] ?? 'app';

await using vm = await microvm.create({ image, rootSizeMib: 256 });
const { image: used } = await vm.view();
console.log(`${used?.name} is ${used?.digest}`);

// The image's own ENTRYPOINT and CMD, as its USER, in its WORKDIR, with its ENV.
console.log((await vm.exec()).stdout.trim());

// What a VM writes is its own: another VM of the image has the image as it came.
await vm.exec('echo written by the first > /note', { user: 'root' });
await using other = await microvm.create({ image });
for (const each of [vm, other])
  console.log((await each.exec('cat /note 2> /dev/null || echo there is no note')).stdout.trim());
