import { createServer } from 'node:net';

const [path] = process.argv.slice(2);
createServer((socket) => socket.on('error', () => undefined).resume()).listen(path, () =>
  process.send?.('up'),
);
