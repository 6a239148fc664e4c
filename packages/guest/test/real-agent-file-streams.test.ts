import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GuestFiles } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the real agent's open files: ${problem}`);

const PATTERN = Buffer.from('each line of this text has another number behind it: ');

/** Bytes of which no two parts are the same. */
function longText(size: number): Buffer {
  const lines: Buffer[] = [];
  for (let at = 0, line = 0; at < size; line += 1) {
    const text = Buffer.concat([PATTERN, Buffer.from(`${line}\n`)]);
    lines.push(text);
    at += text.length;
  }
  return Buffer.concat(lines).subarray(0, size);
}

let agent: RealAgent;
let client: AgentClient;
let files: GuestFiles;
let dir: string;

/** How many file workers the guest has. */
async function workers(): Promise<number> {
  const script = 'cat /proc/[0-9]*/comm 2>/dev/null | grep -c microvm-files';
  const { stdout } = await client.exec({ argv: ['sh', '-c', script] }).result;
  return Number(stdout.toString());
}

describe.skipIf(problem !== undefined)('the open files of a real agent', () => {
  beforeEach(async () => {
    agent = new RealAgent();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    ({ files } = client);
    dir = mkdtempSync(join(tmpdir(), 'microvm-open-files-'));
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  it('are read and written where they are told, and where they stand', async () => {
    await using handle = await files.open(join(dir, 'file'), 'w+', 0o640);
    expect(await handle.write(Buffer.from('0123456789'))).toMatchObject({ bytesWritten: 10 });
    expect(await handle.write(Buffer.from('..ABC..'), 2, 3, 4)).toMatchObject({ bytesWritten: 3 });
    const buffer = Buffer.alloc(6, '-');
    expect(await handle.read(buffer, 1, 4, 3)).toMatchObject({ bytesRead: 4 });
    expect(buffer.toString()).toBe('-3ABC-');
    expect(await handle.read(buffer)).toMatchObject({ bytesRead: 0 });
    expect(await handle.read(buffer, { position: 8, offset: 1 })).toMatchObject({ bytesRead: 2 });
    expect(buffer.toString()).toBe('-89BC-');
    await handle.truncate(5);
    expect((await handle.stat()).size).toBe(5);
    await handle.chmod(0o604);
    await handle.utimes(5, 6);
    await handle.sync();
    await handle.datasync();
    const { mode, atimeMs, mtimeMs } = await handle.stat();
    expect([mode & 0o777, atimeMs, mtimeMs]).toEqual([0o604, 5_000, 6_000]);
    await expect(handle.chown(-1, -1)).resolves.toBeUndefined();
    await handle.close();
    await handle.close();
    await expect(handle.read(buffer)).rejects.toMatchObject({ code: 'EBADF', syscall: 'read' });
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('0123A');
  });

  it('carry more than a message at once', async () => {
    const bytes = longText(3_000_000);
    await using handle = await files.open(join(dir, 'file'), 'w+');
    await handle.write(bytes);
    const read = Buffer.alloc(bytes.length + 10);
    expect(await handle.read(read, 0, read.length, 0)).toMatchObject({ bytesRead: bytes.length });
    expect(read.subarray(0, bytes.length).equals(bytes)).toBe(true);
  });

  it('are refused as Node refuses them', async () => {
    await expect(files.open(join(dir, 'no'))).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
    await expect(files.open(dir, 'r+')).rejects.toMatchObject({ code: 'EISDIR', path: dir });
    await using handle = await files.open(dir);
    await expect(handle.read(Buffer.alloc(8))).rejects.toMatchObject({ code: 'EISDIR', syscall: 'read' });
    await using readOnly = await files.open('/dev/null', 'r');
    await expect(readOnly.write(Buffer.from('x'))).rejects.toMatchObject({ code: 'EBADF' });
  });

  it('are at most 64 at once, and a closed one makes room', async () => {
    const open = await Promise.all(Array.from({ length: 64 }, () => files.open('/dev/null')));
    await expect(files.open('/dev/null')).rejects.toMatchObject({ code: 'EMFILE' });
    await open[0]?.close();
    await expect
      .poll(() =>
        files
          .open('/dev/null')
          .then((handle) => handle.close())
          .catch((error: unknown) => error),
      )
      .toBeUndefined();
    for (const handle of open) await handle.close();
  });

  it('end with the session, and with an abort of a call on them', async () => {
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    const writer = files.open(join(dir, 'fifo'), 'w');
    const handle = await files.open(join(dir, 'fifo'));
    const abort = new AbortController();
    const reading = handle.read(Buffer.alloc(1), { signal: abort.signal });
    const reason = new Error('no longer wanted');
    abort.abort(reason);
    await expect(reading).rejects.toBe(reason);
    await expect(handle.stat()).rejects.toMatchObject({ code: 'EBADF' });
    const other = await writer;
    client.close();
    await expect(other.stat()).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
  });

  it('that nobody opens at the other end block nobody else, and can be given up', async () => {
    execFileSync('mkfifo', [join(dir, 'fifo')]);
    const abort = new AbortController();
    const blocked = Array.from({ length: 16 }, () =>
      files.readFile(join(dir, 'fifo'), { signal: abort.signal }).catch((error: unknown) => error),
    );
    await expect.poll(() => workers()).toBe(16);
    await expect(files.stat(dir, { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'MICROVM_GUEST_BUSY',
      details: { reason: '16 calls on its files have not ended' },
    });
    const waiting = files.stat(dir);
    await using handle = await files.open('/dev/null'); // An open file is none of the 16.
    const reason = new Error('enough');
    abort.abort(reason);
    for (const outcome of await Promise.all(blocked)) expect(outcome).toBe(reason);
    expect((await waiting).isDirectory()).toBe(true);
    await handle.close();
    // The abort has ended what it was about in the guest.
    await expect.poll(() => workers()).toBeLessThan(5);
    await expect(files.readFile(join(dir, 'fifo'), { timeoutMs: 1 })).rejects.toMatchObject({
      code: 'MICROVM_TIMEOUT',
      details: { operation: 'readFile', timeoutMs: 1 },
    });
  });

  it('leave no worker behind that nobody uses', async () => {
    await files.stat(dir);
    expect(await workers()).toBe(1);
    await expect.poll(() => workers()).toBe(0);
  });

  it('are streams whose reader sets the pace', async () => {
    const bytes = longText(64 << 20);
    writeFileSync(join(dir, 'long'), bytes);
    const stream = files.createReadStream(join(dir, 'long'));
    await once(stream, 'readable');
    for (let ping = 0; ping < 20; ping++) await client.ping();
    expect(client.received.bytes).toBeLessThan(4 << 20);
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  });

  it('are streams of a part, with an encoding', async () => {
    writeFileSync(join(dir, 'file'), '0123456789');
    const read = async (options: Parameters<GuestFiles['createReadStream']>[1]): Promise<string> => {
      let text = '';
      for await (const piece of files.createReadStream(join(dir, 'file'), options)) text += String(piece);
      return text;
    };
    expect(await read({ start: 3, end: 5, encoding: 'utf8' })).toBe('345');
    expect(await read({ end: 0 })).toBe('0');
    expect(await read({ start: 8, highWaterMark: 1 })).toBe('89');
    expect(await read({ start: 80 })).toBe('');
    expect(() => files.createReadStream(dir, { start: 3, end: 2 })).toThrow('end');
    await expect(read({ start: 0, user: 'nobody-here' })).rejects.toMatchObject({
      details: { step: 'user' },
    });
    const failing = files.createReadStream(join(dir, 'no'));
    expect(await once(failing, 'error')).toMatchObject([{ code: 'ENOENT', path: join(dir, 'no') }]);
  });

  it('are read no more when their stream is destroyed', async () => {
    const stream = files.createReadStream('/dev/zero');
    await once(stream, 'readable');
    stream.destroy();
    await once(stream, 'close');
    await expect.poll(() => workers()).toBe(0);
    const abort = new AbortController();
    const other = files.createReadStream('/dev/zero', { signal: abort.signal });
    await once(other, 'readable');
    const reason = new Error('enough');
    abort.abort(reason);
    expect(await once(other, 'error')).toEqual([reason]);
  });

  it('are written by streams, which finish when all is written', async () => {
    const bytes = longText(10_000_000);
    const path = join(dir, 'written');
    await pipeline(Readable.from([bytes.subarray(0, 7), bytes.subarray(7)]), files.createWriteStream(path));
    expect(readFileSync(path).equals(bytes)).toBe(true);
    await pipeline(Readable.from(['XYZ']), files.createWriteStream(path, { flags: 'r+', start: 5 }));
    expect(readFileSync(path).subarray(0, 10).toString()).toBe('each XYZe ');
    await pipeline(Readable.from(['the end']), files.createWriteStream(path, { flags: 'a', flush: true }));
    expect(readFileSync(path).subarray(-7).toString()).toBe('the end');
    const full = pipeline(Readable.from([bytes]), files.createWriteStream('/dev/full'));
    await expect(full).rejects.toMatchObject({ code: 'ENOSPC', syscall: 'write', path: '/dev/full' });
    const nowhere = pipeline(Readable.from(['x']), files.createWriteStream(join(dir, 'no/file')));
    await expect(nowhere).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
  });

  it('are replaced as a whole when the write is atomic', async () => {
    const path = join(dir, 'file');
    writeFileSync(path, 'old', { mode: 0o604 });
    const { ino } = statSync(path);
    await files.symlink(path, join(dir, 'link'));
    await files.writeFile(join(dir, 'link'), 'new content', { atomic: true });
    expect(readFileSync(path, 'utf8')).toBe('new content');
    expect(statSync(path).ino).not.toBe(ino);
    expect(statSync(path).mode & 0o777).toBe(0o604);
    expect(await files.readlink(join(dir, 'link'))).toBe(path);
    await files.writeFile(join(dir, 'other'), 'x', { atomic: true, mode: 0o600 });
    expect(statSync(join(dir, 'other')).mode & 0o777).toBe(0o600);
    await expect(files.writeFile(dir, 'x', { atomic: true })).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(files.writeFile(path, 'x', { atomic: true, flag: 'a' })).rejects.toMatchObject({
      code: 'MICROVM_INVALID_ARGUMENT',
    });
    const stream = files.createWriteStream(path, { atomic: true });
    stream.write('half of');
    await expect.poll(() => workers()).toBeGreaterThan(0);
    stream.destroy();
    await expect.poll(() => workers()).toBeLessThan(2);
    expect(readFileSync(path, 'utf8')).toBe('new content');
    expect(readdirSync(dir).toSorted()).toEqual(['file', 'link', 'other']);
  });

  it('on a file system without room, or without writes, fail as they do there', async () => {
    const script = 'mkdir "$1" "$2" && mount -t tmpfs -o size=64k t "$1" && mount -t tmpfs -o ro t "$2"';
    const [small, fixed] = [join(dir, 'small'), join(dir, 'fixed')];
    await client.exec({ argv: ['sh', '-c', script, 'sh', small, fixed] }).result;
    await files.writeFile(join(small, 'file'), 'old');
    for (const atomic of [true, false]) {
      const writing = files.writeFile(join(small, 'file'), Buffer.alloc(100_000), { atomic });
      await expect(writing).rejects.toMatchObject({ code: 'ENOSPC', syscall: 'write' });
      expect(await files.readdir(small)).toEqual(['file']);
      expect((await files.stat(join(small, 'file'))).size).toBe(atomic ? 3 : 65_536);
    }
    for (const options of [{}, { atomic: true }])
      await expect(files.writeFile(join(fixed, 'file'), 'x', options)).rejects.toMatchObject({
        code: 'EROFS',
      });
    await expect(files.mkdir(join(fixed, 'folder'))).rejects.toMatchObject({ code: 'EROFS' });
    await expect(files.rm(join(fixed, 'no'), { force: true })).resolves.toBeUndefined();
  });

  it('may grow while they are read', async () => {
    const path = join(dir, 'growing');
    writeFileSync(path, 'begin');
    const append = `while [ ! -e "$1.stop" ]; do echo more >> "$1"; done`;
    const growing = client.exec({ argv: ['sh', '-c', append, 'sh', path] });
    for (let turn = 0; turn < 20; turn++)
      expect((await files.readFile(path, 'utf8')).replace(/^begin(more\n)*(more)?$/, '')).toBe('');
    writeFileSync(`${path}.stop`, '');
    await growing.result;
    expect(existsSync(path)).toBe(true);
  });
});
