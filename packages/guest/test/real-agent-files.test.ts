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
});
