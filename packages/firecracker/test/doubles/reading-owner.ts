import { writeSync } from 'node:fs';
import { openAsOwner } from './open-as-owner.js';

// Another process, which owns a VM and reads a command there into its standard output, stops reading in the
// midst of it, says how far it came, and waits to be killed.
const { SCRIPT = '', READ_BYTES = '0' } = process.env;
const runtime = await openAsOwner();
await runtime.createVm('vm');
await runtime.startVm('vm');
const command = (await runtime.guest('vm')).exec({ argv: ['sh', '-c', SCRIPT], input: '' });
const reading = command[Symbol.asyncIterator]();
while (command.offsets.stdout < Number(READ_BYTES)) {
  const next = await reading.next();
  if (next.done === true) break;
  const { data } = next.value;
  for (let at = 0; at < data.length;) at += writeSync(1, data, at);
}
process.send?.({ id: command.id, from: command.offsets });
process.on('message', () => undefined);
