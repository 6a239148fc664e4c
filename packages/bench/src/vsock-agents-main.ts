import { connect, createServer, type Socket } from 'node:net';
import type { AgentCall } from './vsock-agents.js';

/*
 * The guests' side of `native-vsock`: agents, all in this process. Each comes up at its own moment and says
 * on its first connection when that was, on the clock that all processes share.
 */

function tell(socket: Socket, readyAt: bigint): void {
  const moment = Buffer.alloc(8);
  moment.writeBigUInt64LE(readyAt);
  socket.on('error', () => undefined).end(moment);
}

function dialOut(path: string): void {
  const readyAt = process.hrtime.bigint();
  const socket = connect(path);
  socket.once('connect', () => tell(socket, readyAt));
}

function listenForPolls(path: string): void {
  const server = createServer((socket) => {
    server.close();
    tell(socket, readyAt);
  });
  server.listen(path);
  // A unix socket listens when the call returns.
  const readyAt = process.hrtime.bigint();
}

process.on('message', (calls: readonly AgentCall[]) => {
  for (const { way, path, delayMs } of calls)
    setTimeout(() => (way === 'dial-out' ? dialOut : listenForPolls)(path), delayMs);
});
process.send?.('up');
