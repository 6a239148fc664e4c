import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import * as node from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GuestFiles } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { CALLS, outcome, populate, type Files } from './file-calls.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's files: ${problem}`);

let agent: RealAgent;
let client: AgentClient;
let files: GuestFiles;
let dir: string;

describe.skipIf(problem !== undefined)('the files of a real agent', () => {
  beforeEach(async () => {
    agent = new RealAgent();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    ({ files } = client);
    dir = mkdtempSync(join(tmpdir(), 'microvm-files-'));
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  it.each(Object.keys(CALLS))('are as those of Node: %s', async (name) => {
    const [here, there] = [join(dir, 'here'), join(dir, 'there')];
    for (const root of [here, there]) await populate(node as unknown as Files, root);
    const call = CALLS[name];
    if (call === undefined) throw new Error(name);
    const expected = await outcome(
      here,
      call(node as unknown as Files, (path) => join(here, path)),
    );
    expect(
      await outcome(
        there,
        call(files, (path) => join(there, path)),
      ),
    ).toEqual(expected);
  });

  it('are reached by names that are not UTF-8', async () => {
    const name = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xfe, 0x41])]);
    await files.writeFile(name, 'odd');
    expect(await files.readFile(name, 'utf8')).toBe('odd');
    expect(await files.readdir(dir, { encoding: 'buffer' })).toEqual([Buffer.from([0xff, 0xfe, 0x41])]);
    expect(await files.readdir(dir)).toEqual(['\ufffd\ufffdA']);
    await files.symlink(name, join(dir, 'link'));
    expect(await files.readlink(join(dir, 'link'), { encoding: 'buffer' })).toEqual(name);
    expect(await files.realpath(join(dir, 'link'), { encoding: 'buffer' })).toEqual(name);
  });

  it('of /proc and devices are read to their end, whatever their size says', async () => {
    expect(await files.readFile('/proc/sys/kernel/ostype', 'utf8')).toBe('Linux\n');
    expect((await files.readFile('/proc/self/status', 'utf8')).startsWith('Name:\tmicrovm-files\n')).toBe(
      true,
    );
    // Node's own copy of it is empty.
    await files.copyFile('/proc/sys/kernel/ostype', join(dir, 'copy'));
    expect(await files.readFile(join(dir, 'copy'), 'utf8')).toBe('Linux\n');
    expect(await files.readFile('/dev/null')).toEqual(Buffer.alloc(0));
    await expect(files.readFile('/dev/zero', { maxBytes: 100_000 })).rejects.toMatchObject({
      code: 'MICROVM_OUTPUT_LIMIT',
      details: { limitBytes: 100_000 },
    });
    await expect(files.readFile('/proc/self/mem')).rejects.toMatchObject({ code: 'EIO', syscall: 'read' });
    await expect(files.writeFile('/dev/full', 'x')).rejects.toMatchObject({
      code: 'ENOSPC',
      syscall: 'write',
    });
  });

  it('that are longer than a message come whole, and many at once', async () => {
    const bytes = Buffer.alloc(3_000_001, 'never the same 123456789 ');
    const paths = Array.from({ length: 40 }, (_, index) => join(dir, String(index)));
    await Promise.all(paths.map((path) => files.writeFile(path, bytes)));
    for (const path of paths) expect(readFileSync(path).equals(bytes)).toBe(true);
    const read = await Promise.all(paths.map((path) => files.readFile(path)));
    for (const one of read) expect(one.equals(bytes)).toBe(true);
  });

  it('whose session is lost are settled, and a call breaks off with a typed error', async () => {
    for (let turns = 0; turns < 8; turns++) {
      const path = join(dir, String(turns));
      // Workers that wait for the next call: what is written goes out at once.
      await Promise.all([files.stat(dir), files.stat(dir), files.stat(dir)]);
      const calls = [
        ...[files.writeFile(path, Buffer.alloc(200_000), { atomic: true }), files.appendFile(path, 'more')],
        ...[files.readFile(path), files.stat(dir), files.truncate(path), files.open(path, 'w')],
      ];
      const settled = Promise.allSettled(calls);
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      client.close();
      for (const outcome of await settled) {
        if (outcome.status === 'fulfilled') continue;
        const { code } = outcome.reason as NodeJS.ErrnoException;
        expect(['MICROVM_GUEST_UNREACHABLE', 'ENOENT']).toContain(code);
      }
      client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
      ({ files } = client);
    }
  });

  it('that are at work when their session is lost end in the guest, and change nothing later', async () => {
    const fifo = join(dir, 'fifo');
    await client.exec({ argv: ['mkfifo', fifo] }).result;
    const workers = async (): Promise<string> => {
      const script = 'cat /proc/[0-9]*/comm | grep -c "^microvm-files$"';
      const { stdout } = await client.exec({ argv: ['sh', '-c', script] }).result;
      return stdout.toString().trim();
    };
    // It waits for somebody at the other end, who comes too late.
    const waiting = files.appendFile(fifo, 'too late').catch((error: unknown) => error);
    await expect.poll(workers).toBe('1');
    client.close();
    expect(await waiting).toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    await expect.poll(workers).toBe('0');
  });
});
