import { ConnectionClosedError, MAX_ANSWER_BYTES, RequestRefusedError } from '@microvm/driver-kit';
import { describe, expect, it } from 'vitest';
import type { ApiClient } from '../src/api/client.js';
import { connectApi } from './api-server.js';

const json = (status: number, body: string, length = Buffer.byteLength(body)): string =>
  `HTTP/1.1 ${status} \r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;

/** Asks for the VM's state, and has the server say this and nothing more. */
async function answered(text: string): Promise<{ readonly error: unknown; readonly hungUp: () => boolean }> {
  const { client, chunks, connections } = await connectApi();
  const asked = client.describe().catch((error: unknown) => error);
  await expect.poll(() => chunks).toHaveLength(1);
  connections[0]?.write(text);
  return { error: await asked, hungUp: () => connections[0]?.destroyed === true };
}

describe('an answer that no Firecracker gives', () => {
  it.each([
    ['announces more than the limit', json(200, '{"state":"', 2 ** 40) + 'x'.repeat(MAX_ANSWER_BYTES)],
    [
      'comes in chunks without end',
      `HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n${`8000\r\n${'x'.repeat(0x8000)}\r\n`.repeat(3)}`,
    ],
    ['is a refusal longer than the limit', json(400, `{"fault_message":"${'x'.repeat(MAX_ANSWER_BYTES)}"}`)],
  ])('ends the connection when it %s', async (_, text) => {
    const { error, hungUp } = await answered(text);
    expect(error).toBeInstanceOf(ConnectionClosedError);
    expect((error as Error).message).toBe(`GET /: the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    await expect.poll(() => hungUp()).toBe(true);
  });

  it.each([
    ['is no HTTP', 'hello\r\n\r\n'],
    ['has headers without end', `HTTP/1.1 200 \r\n${'X-A: b\r\n'.repeat(10_000)}`],
    ['is no JSON', json(200, '<html>')],
    ['names a state that there is not', json(200, '{"state":"Sleeping"}')],
    ['is no object', json(200, 'null')],
    ['is empty', 'HTTP/1.1 204 \r\n\r\n'],
  ])('is told as a broken connection when it %s', async (_, text) => {
    expect((await answered(text)).error).toBeInstanceOf(ConnectionClosedError);
  });

  it('is not waited for when it comes a byte at a time', async () => {
    const { client, chunks, connections } = await connectApi();
    const asked = client.describe({ timeoutMs: 50 });
    asked.catch(() => undefined);
    await expect.poll(() => chunks).toHaveLength(1);
    const drip = setInterval(() => connections[0]?.write('X'), 1);
    await expect(asked)
      .rejects.toThrow('GET /: no answer within 50 ms')
      .finally(() => clearInterval(drip));
    await expect.poll(() => connections[0]?.destroyed).toBe(true);
  });

  it('does not stop the next request', async () => {
    const { client, connections } = await connectApi();
    const ask = async (text: string): ReturnType<ApiClient['describe']> => {
      const before = connections.length;
      const asked = client.describe();
      asked.catch(() => undefined);
      await expect.poll(() => connections.length).toBe(before + 1);
      connections.at(-1)?.write(text);
      return asked;
    };
    await expect(ask(json(200, 'x', 2 ** 40) + 'x'.repeat(MAX_ANSWER_BYTES))).rejects.toThrow('longer than');
    await expect(ask(json(200, '{"state":"Paused"}'))).resolves.toEqual({ state: 'Paused' });
  });
});

describe('the words of a refusal', () => {
  it('are cut, and no control character in them is raw', async () => {
    const said = { fault_message: `\u001b[2Jno\r\n${'x'.repeat(MAX_ANSWER_BYTES / 2)}` };
    const { error } = await answered(json(400, JSON.stringify(said)));
    expect(error).toBeInstanceOf(RequestRefusedError);
    const { message, faultMessage } = error as RequestRefusedError;
    expect(faultMessage).toMatch(/^\\x1b\[2Jno\\r\\nx+…$/);
    expect(message.length).toBeLessThan(2200);
  });

  it.each([
    ['an object', '{"fault_message":{"a":1}}'],
    ['no JSON', 'plain words'],
  ])('are the whole answer where they are %s', async (_, body) => {
    const { error } = await answered(json(400, body));
    expect((error as RequestRefusedError).faultMessage).toBe(body);
  });
});
