import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { ScriptedErrno, type GuestScript } from '../../src/index.js';
import { lines, shellGuest } from './shell-guest.js';

/** A server of a test: speaks HTTP on port 80, and echoes on port 7. */
const SERVERS: GuestScript = {
  serverAt(target) {
    if (!('port' in target)) return undefined;
    if (target.port === 7) {
      return async ({ input, write }) => {
        for await (const bytes of input) await write(bytes);
      };
    }
    if (target.port !== 80) return undefined;
    return async ({ input, write }) => {
      let request = '';
      for await (const bytes of input) {
        request += bytes.toString();
        if (request.includes('\r\n\r\n')) break;
      }
      const [, method = '', path = ''] = /^(\S+) (\S+)/.exec(request) ?? [];
      if (path === '/reset') throw new ScriptedErrno('ECONNRESET');
      if (path === '/broken') throw new TypeError('a mistake in the server');
      const status = path === '/none' ? '404 Not Found' : path === '/old' ? '302 Found' : '200 OK';
      const body = `${method} ${path}\n`;
      await write(`HTTP/1.1 ${status}\r\nLocation: /new\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    };
  },
};

describe('ports within the guest', () => {
  test('curl and wget reach what a script serves', async () => {
    const guest = await shellGuest(SERVERS);
    expect(await lines(guest, 'curl -s http://localhost/a?b=1; curl -s -d x=1 127.0.0.1:80/post')).toBe(
      'GET /a?b=1\nPOST /post\n',
    );
    expect(
      await lines(guest, 'curl -sL localhost/old; wget -q -O - localhost/w; curl -so /f localhost/f; cat /f'),
    ).toBe('GET /new\nGET /w\nGET /f\n');
    expect(await lines(guest, 'curl -sf localhost/none; echo $?; curl -s localhost:81; echo $?')).toBe(
      '22\n7\n',
    );
    expect(
      await lines(
        guest,
        'curl -s localhost/reset; echo $?; curl -s -w "%{http_code}" -o /dev/null localhost/none',
      ),
    ).toBe('56\n404');
  });

  test('an error of the server is the test’s own', async () => {
    const guest = await shellGuest(SERVERS);
    const failed = guest.exec({ argv: ['sh', '-c', 'curl -s localhost/broken || true'], input: '' }).result;
    await expect(failed).rejects.toThrow(new TypeError('a mistake in the server'));
  });

  test('nc reaches a server, and another nc', async () => {
    const guest = await shellGuest(SERVERS);
    expect(await lines(guest, 'echo hello | nc localhost 7')).toBe('hello\n');
    expect(await lines(guest, 'nc localhost 9; echo $?')).toMatch(/^1\nnc: .*refused/);
    const line =
      'echo from the server | nc -l -p 9000 > /got & until netstat -ltn | grep -q :9000; do sleep 0.01; done; ';
    expect(await lines(guest, `${line}echo from the client | nc localhost 9000; wait; cat /got`)).toBe(
      'from the server\nfrom the client\n',
    );
  });

  test('the host reaches the same servers', async () => {
    const guest = await shellGuest(SERVERS);
    const socket = await guest.connect({ port: 7 });
    socket.end('echoed');
    const [data] = (await once(socket, 'data')) as Buffer[];
    expect(data?.toString()).toBe('echoed');
  });

  test('two commands cannot listen on one port', async () => {
    const guest = await shellGuest();
    expect(await lines(guest, 'nc -l -p 9 & sleep 0.05; nc -l -p 9; echo $?; kill $!')).toBe(
      '1\nnc: Address in use\n',
    );
  });
});
