// The VMM of this example: a process with an HTTP API on a unix socket, as Firecracker and Cloud Hypervisor
// have one. It emulates nothing. Its guest is a few lines in this file: the guest's whole memory is a count,
// and the guest speaks on the console, which is this process's standard output.
//
// node vmm.mjs --name <name> --api <socket> [--load <file>]

import { readFileSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: { name: { type: 'string' }, api: { type: 'string' }, load: { type: 'string' } },
});
const socketPath = values.api ?? 'api.sock';

/** @type {'not-started' | 'running' | 'paused'} */
let state = values.load === undefined ? 'not-started' : 'paused';
let memory = values.load === undefined ? { count: 0 } : JSON.parse(readFileSync(values.load, 'utf8'));

/** @param {string} line */
function say(line) {
  writeSync(1, `${line}\n`);
}

/** @param {string} lastWords */
function endGuest(lastWords) {
  say(lastWords);
  process.exit(0);
}

/** What the guest's words are, by how it ends: `reasonFromConsole` of the driver kit knows them. */
const ENDINGS = {
  'power-off': 'microvm-agent: farewell power-off',
  reboot: 'microvm-agent: farewell reboot',
  panic: 'Kernel panic - not syncing: asked to',
};

/** @type {Record<string, (body: any) => unknown>} */
const ROUTES = {
  'GET /state': () => ({ state, version: '1.0' }),
  'PUT /boot': () => {
    state = 'running';
    say('Linux version 0.0 (a count)');
  },
  'PUT /pause': () => void (state = 'paused'),
  'PUT /resume': () => void (state = 'running'),
  'PUT /snapshot': ({ path }) => writeFileSync(path, JSON.stringify(memory)),
  'PUT /power-button': () => {
    if (state === 'running') endGuest('microvm-agent: farewell shutdown');
  },
  'PUT /guest/count': () => {
    memory.count += 1;
    say(`count ${memory.count}`);
  },
  'PUT /guest/end': (/** @type {{ how: keyof typeof ENDINGS }} */ { how }) => endGuest(ENDINGS[how]),
};

try {
  unlinkSync(socketPath);
} catch {
  // There was no earlier life in this folder.
}
createServer((request, response) => {
  const chunks = /** @type {Buffer[]} */ ([]);
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const route = ROUTES[`${request.method} ${request.url}`];
    if (route === undefined) {
      response.writeHead(404).end(JSON.stringify({ fault: `no route ${request.method} ${request.url}` }));
      return;
    }
    const text = Buffer.concat(chunks).toString();
    try {
      const answer = route(text === '' ? {} : JSON.parse(text));
      response.writeHead(answer === undefined ? 204 : 200);
      response.end(answer === undefined ? undefined : JSON.stringify(answer));
    } catch (error) {
      response.writeHead(400).end(JSON.stringify({ fault: String(error) }));
    }
  });
}).listen(socketPath);
