import { link, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { closeSync, openSync, writeSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConsole } from '../src/console/console-reader.js';
import { LogKeeper } from '../src/console/log-keeper.js';
import { lastLogLines } from '../src/console/log-tail.js';

const never = new AbortController().signal;

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kit-console-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Stands for a VMM: appends to the file that it has open, and opens it only once. */
class Writer {
  readonly #fd: number;

  constructor(folder: string) {
    this.#fd = openSync(join(folder, 'console.log'), 'a');
    onTestFinished(() => closeSync(this.#fd));
  }

  write(text: string): void {
    writeSync(this.#fd, text);
  }
}

const LARGE = 1024 * 1024;

function keep(folder: string, file: string, limitBytes: number): void {
  const keeper = new LogKeeper(folder, [{ file, limitBytes }]);
  onTestFinished(() => keeper.close());
}

async function readAll(
  folder: string,
  { tailBytes, limitBytes = LARGE }: { tailBytes?: number; limitBytes?: number } = {},
): Promise<string> {
  const options = { limitBytes, ended: never, ...(tailBytes === undefined ? {} : { tailBytes }) };
  const chunks: Buffer[] = [];
  for await (const chunk of readConsole(folder, options)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function diskBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * 512;
}

describe('the console', () => {
  it('is empty for a VM that never ran', async () => {
    expect(await readAll(await makeFolder())).toBe('');
  });

  it('can be read whole and from a distance to its end', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'console.log'), 'one two three');
    expect(await readAll(folder)).toBe('one two three');
    expect(await readAll(folder, { tailBytes: 9 })).toBe('two three');
    expect(await readAll(folder, { tailBytes: 0 })).toBe('');
    expect(await readAll(folder, { tailBytes: 1000 })).toBe('one two three');
    expect(await readAll(folder, { limitBytes: 5 })).toBe('three');
    expect(await readAll(folder, { tailBytes: 9, limitBytes: 5 })).toBe('three');
  });

  it('is followed from before there is one, without a byte lost or twice', async () => {
    const folder = await makeFolder();
    keep(folder, 'console.log', LARGE);
    const stop = new AbortController();
    let seen = '';
    const following = (async () => {
      const options = { follow: true, signal: stop.signal, limitBytes: LARGE, ended: never };
      for await (const chunk of readConsole(folder, options)) seen += chunk.toString();
    })();
    const writer = new Writer(folder);
    for (let number = 0; number <= 2000; number += 1) {
      writer.write(`${number};`);
      if (number % 100 === 0) await yieldToEvents();
    }
    await expect.poll(() => seen).toContain('2000;');
    stop.abort();
    await following;
    expect(seen).toBe(Array.from({ length: 2001 }, (_, number) => `${number};`).join(''));
  });

  it('keeps to its limit while a guest floods it, and keeps the newest', async () => {
    const folder = await makeFolder();
    const writer = new Writer(folder);
    keep(folder, 'console.log', 8192);
    for (let number = 0; number < 20_000; number += 1) {
      writer.write(`line ${number}\n`);
      if (number % 200 === 0) await yieldToEvents();
    }
    const path = join(folder, 'console.log');
    await expect.poll(() => diskBytes(path)).toBeLessThanOrEqual(3 * 4096);
    const kept = await readAll(folder, { limitBytes: 8192 });
    expect(kept).toHaveLength(8192);
    expect(kept).toMatch(/line 19998\nline 19999\n$/);
    expect(kept).not.toContain('\0');
  });

  it('leaves out what a reader was too slow for', async () => {
    const folder = await makeFolder();
    const writer = new Writer(folder);
    writer.write('early;');
    const options = { follow: true, limitBytes: 4096, ended: never };
    const reader = readConsole(folder, options)[Symbol.asyncIterator]();
    const next = async (): Promise<string> => String(((await reader.next()) as { value?: Buffer }).value);
    expect(await next()).toBe('early;');
    writer.write(`${'x'.repeat(10_000)};late`);
    const late = await next();
    expect(late).toHaveLength(4096);
    expect(late.endsWith('xx;late')).toBe(true);
    await reader.return(undefined);
  });

  it('ends for a follower when the VM is released', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'console.log'), 'last words');
    const released = new AbortController();
    const chunks: string[] = [];
    const options = { follow: true, limitBytes: LARGE, ended: released.signal };
    for await (const chunk of readConsole(folder, options)) {
      chunks.push(chunk.toString());
      released.abort();
    }
    expect(chunks).toEqual(['last words']);
  });
});

describe('lastLogLines', () => {
  it('has the ends of both logs, no control character raw, each line bounded', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'vmm.log'), 'first\nqemu: bad\u0007 thing\n');
    const lines = [
      ...Array.from({ length: 50 }, (_, n) => `line ${n}`),
      '\u001b[31mred\u001b[0m',
      'y'.repeat(3000),
    ];
    await writeFile(join(folder, 'console.log'), lines.join('\r\n'));
    const told = await lastLogLines(folder);
    expect(told.slice(0, 2)).toEqual(['vmm.log: first', 'vmm.log: qemu: bad\\x07 thing']);
    expect(told).toContain('red');
    expect(told.length).toBeLessThanOrEqual(30);
    expect(Math.max(...told.map((line) => line.length))).toBeLessThanOrEqual(400);
  });

  it('has the line that names a panic also when the trace after it is long', async () => {
    const folder = await makeFolder();
    const trace = Array.from({ length: 60 }, (_, n) => `  ? function_${n}+0x1/0x2`);
    const lines = ['harmless', 'Kernel panic - not syncing: for a test', ...trace];
    await writeFile(join(folder, 'console.log'), lines.join('\r\n'));
    const told = await lastLogLines(folder);
    expect(told[0]).toBe('Kernel panic - not syncing: for a test');
    expect(told).toHaveLength(21);
  });

  it('shows nothing of the zeros that a log begins with whose front was given back', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'vmm.log'), '\u0000'.repeat(3000) + 'last words\n');
    expect(await lastLogLines(folder)).toEqual(['vmm.log: last words']);
  });

  it('is empty where there are no logs', async () => {
    expect(await lastLogLines(await makeFolder())).toEqual([]);
  });
});

describe('a log that is written by another name, in another folder', () => {
  const LIMIT_BYTES = 8192;

  /** A folder with an empty log, which has another name elsewhere. */
  async function makeLinked(): Promise<{
    readonly folder: string;
    readonly log: string;
    readonly other: string;
  }> {
    const [folder, elsewhere] = [await makeFolder(), await makeFolder()];
    const [log, other] = [join(folder, 'vmm.log'), join(elsewhere, 'vmm.log')];
    await writeFile(log, '');
    await link(log, other);
    return { folder, log, other };
  }

  it('is kept within its bound all the same', async () => {
    const { folder, log, other } = await makeLinked();
    const keeper = new LogKeeper(folder, [{ file: 'vmm.log', limitBytes: LIMIT_BYTES }]);
    onTestFinished(() => keeper.close());
    await writeFile(other, 'x'.repeat(LARGE), { flag: 'a' });
    await expect.poll(() => diskBytes(log)).toBeLessThan(LARGE / 2);
  });

  it('keeps its front until whoever wants it has it', async () => {
    const { folder, log } = await makeLinked();
    const file = 'vmm.log';
    let isRefused = true;
    let calls = 0;
    const beforeDiscard = async (): Promise<void> => {
      calls += 1;
      if (isRefused) throw new Error('not yet');
    };
    const keeper = new LogKeeper(folder, [{ file, limitBytes: LIMIT_BYTES, beforeDiscard }]);
    onTestFinished(() => keeper.close());
    await writeFile(log, 'x'.repeat(LARGE), { flag: 'a' });
    await expect.poll(() => calls).toBeGreaterThan(0);
    expect(await diskBytes(log)).toBeGreaterThanOrEqual(LARGE);
    isRefused = false;
    await writeFile(log, 'x', { flag: 'a' });
    await expect.poll(() => diskBytes(log)).toBeLessThan(LARGE / 2);
  });
});
