import { once } from 'node:events';
import { connect as dial } from 'node:net';
import type { Duplex } from 'node:stream';
import type { GuestScript } from '@microvm/in-memory';
import { expect, it } from 'vitest';
import { memoryMicrovm } from './in-memory.js';

/** A server on port 80 that sends back what it receives. */
const guest: GuestScript = {
  serverAt: (target) =>
    'port' in target && target.port === 80
      ? async ({ input, write }) => {
          for await (const data of input) await write(data);
        }
      : undefined,
};

async function ask(socket: Duplex, question: string): Promise<string> {
  socket.end(question);
  let answer = '';
  socket.on('data', (data: Buffer) => (answer += data.toString()));
  await once(socket, 'end');
  return answer;
}

it('connects to a server in the guest', async () => {
  const { microvm } = await memoryMicrovm({ guest });
  const vm = await microvm.create();
  expect(await ask(await vm.connect({ port: 80 }), 'to and fro')).toBe('to and fro');
  await expect(vm.connect({ port: 81 })).rejects.toMatchObject({
    code: 'MICROVM_CONNECT_FAILED',
    details: { vmId: vm.vmId, target: '127.0.0.1:81', errno: 'ECONNREFUSED' },
    remedy: 'check that the program listens in the guest',
  });
});

it('rejects a connection with the reason of its signal', async () => {
  const { microvm } = await memoryMicrovm({ guest });
  const vm = await microvm.create();
  const reason = new Error('changed my mind');
  await expect(vm.connect({ port: 80 }, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
});

it('forwards a port of the host until the VM is destroyed, after a rename too', async () => {
  const { microvm } = await memoryMicrovm({ guest });
  const vm = await microvm.create();
  await vm.rename('renamed');
  const { host, port } = await vm.forward({ guestPort: 80 });
  expect(await ask(dial({ host, port, allowHalfOpen: true }), 'handed on')).toBe('handed on');
  const open = dial({ host, port });
  await once(open, 'connect');
  const reset = once(open, 'error');
  await vm.destroy();
  expect(await reset).toMatchObject([{ code: 'ECONNRESET' }]);
  await expect(once(dial({ host, port }), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

it('forwards 64 ports at once at most', async () => {
  const { microvm } = await memoryMicrovm({ guest });
  const vm = await microvm.create();
  const all = await Promise.all(Array.from({ length: 64 }, () => vm.forward({ guestPort: 80 })));
  await expect(vm.forward({ guestPort: 80 })).rejects.toMatchObject({
    code: 'MICROVM_HOST_FAILURE',
    details: { operation: 'forward', errno: 'EMFILE' },
  });
  await all[0]?.close();
  await using _another = await vm.forward({ guestPort: 80 });
  await vm.destroy();
});

it('refuses a VM that does not run', async () => {
  const { microvm } = await memoryMicrovm({ guest });
  const vm = await microvm.create({ start: false });
  await expect(vm.connect({ port: 80 })).rejects.toMatchObject({ code: 'MICROVM_INVALID_TRANSITION' });
  await expect(vm.forward({ guestPort: 80 })).rejects.toMatchObject({ code: 'MICROVM_INVALID_TRANSITION' });
});
