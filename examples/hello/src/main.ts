import { microvm } from '@microvm/sdk';

await using vm = await microvm.create({ memSizeMib: 128 });
console.log((await vm.exec('uname -a')).stdout.trim());

// Something that lives in the guest's memory: a loop that counts.
await vm.exec(
  '(n=0; while n=$((n+1)); do echo $n >/tmp/next; mv /tmp/next /tmp/count; sleep 0.1; done) >/dev/null 2>&1 &',
);
const count = 'until cat /tmp/count 2>/dev/null; do sleep 0.1; done';

const snapshot = await vm.snapshot();
await using one = await snapshot.restore();
await using two = await snapshot.restore();
for (const each of [vm, one, two])
  console.log(`${each.vmId} counts on: ${(await each.exec(count)).stdout.trim()}`);

await one.rename('tenant-7');
const { stop } = await vm.stop();
console.log(`${one.vmId} goes on, ${vm.vmId} had a ${stop} stop`);
