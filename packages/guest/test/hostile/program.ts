/**
 * The hostile agent, a program: `program.ts FOLDER` listens at `FOLDER/MODE.sock` for each of its modes, says
 * so over the IPC channel, and ends with it.
 */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { MODES, type Mode } from './modes.js';
import { Peer } from './peer.js';

const [, , folder = '.'] = process.argv;
const modes = Object.keys(MODES) as Mode[];

await Promise.all(
  modes.map(
    (mode) =>
      new Promise<void>((resolve) => {
        const server = createServer((socket) => {
          void MODES[mode](new Peer(socket));
        });
        server.listen(join(folder, `${mode}.sock`), resolve);
      }),
  ),
);
process.on('disconnect', () => process.exit());
process.send?.('ready');
