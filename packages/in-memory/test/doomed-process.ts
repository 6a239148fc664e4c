import { createInMemoryRuntime } from '@microvm/in-memory';

/** A process that owns a state directory, has VMs in several states, and then waits for its end. */
const runtime = await createInMemoryRuntime({ stateDir: process.argv[2] });
await runtime.createVm('created');
await runtime.createVm('running');
await runtime.startVm('running');
const guest = await runtime.guest('running');
await guest.exec({ argv: ['counter'], input: '' }).result;
await guest.exec({ argv: ['tee', '/note'], input: 'kept' }).result;
await runtime.snapshotVm('running', 'warm');
await guest.exec({ argv: ['counter'], input: '' }).result;
await runtime.createVm('stopped');
await runtime.startVm('stopped');
await runtime.stopVm('stopped');
await runtime.createVm('paused');
await runtime.startVm('paused');
await runtime.pauseVm('paused');
process.send?.('ready');
setInterval(() => undefined, 1000); // a runtime in memory keeps no process alive
