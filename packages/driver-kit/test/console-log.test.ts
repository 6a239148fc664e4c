import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { closeSync, openSync, writeSync } from 'node:fs';
import { setImmediate as yieldToEvents } from 'node:timers/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { readConsole } from '../src/console/console-reader.js';
import { cutConsole, cutVmmLog } from '../src/console/cut-logs.js';
import { LogKeeper } from '../src/console/log-keeper.js';
import { lastLogLines } from '../src/console/log-tail.js';

const never = new AbortController().signal;

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kit-console-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Stands for a VMM: appends to the file that it has open until it is told to open it anew. */
class Writer {
  readonly #path: string;
  #fd: number;

  constructor(folder: string) {
    this.#path = join(folder, 'console.log');
    this.#fd = openSync(this.#path, 'a');
    onTestFinished(() => closeSync(this.#fd));
  }

  write(text: string): void {
    writeSync(this.#fd, text);
  }

  readonly reopen = async (): Promise<void> => {
    this.write('late;');
    const before = this.#fd;
    this.#fd = openSync(this.#path, 'a');
    closeSync(before);
  };
}

function keepConsole(folder: string, limitBytes: number, reopen: () => Promise<void>): void {
  const cut = (): Promise<void> => cutConsole(folder, { limitBytes, reopen });
  const keeper = new LogKeeper(folder, [{ file: 'console.log', cut }]);
  onTestFinished(() => keeper.close());
}

async function readAll(folder: string, tailBytes?: number): Promise<string> {
  const options = tailBytes === undefined ? {} : { tailBytes };
  const chunks: Buffer[] = [];
  for await (const chunk of readConsole(folder, options, never)) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('the console', () => {
  it('is empty for a VM that never ran', async () => {
    expect(await readAll(await makeFolder())).toBe('');
  });

  it('can be read whole and from a distance to its end, over both of its files', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'console.old.log'), 'one two ');
    await writeFile(join(folder, 'console.log'), 'three');
    expect(await readAll(folder)).toBe('one two three');
    expect(await readAll(folder, 9)).toBe('two three');
    expect(await readAll(folder, 3)).toBe('ree');
    expect(await readAll(folder, 0)).toBe('');
    expect(await readAll(folder, 1000)).toBe('one two three');
  });

  it('is followed over the change of its file, without a byte lost or twice', async () => {
    const folder = await makeFolder();
    const writer = new Writer(folder);
    writer.write('0;');
    keepConsole(folder, 4096, writer.reopen);
    const stop = new AbortController();
    let seen = '';
    const following = (async () => {
      for await (const chunk of readConsole(folder, { follow: true, signal: stop.signal }, never)) {
        seen += chunk.toString();
      }
    })();
    const lines = Array.from({ length: 2000 }, (_, number) => `${number + 1};`);
    for (const line of lines) {
      writer.write(line);
      if (line.endsWith('00;')) await yieldToEvents();
    }
    await vi.waitFor(() => expect(seen).toContain('2000;'));
    stop.abort();
    await following;
    const numbers = seen.split(';').filter((part) => part !== '' && part !== 'late');
    expect(numbers).toEqual(Array.from({ length: 2001 }, (_, number) => String(number)));
    expect(seen.match(/late;/g)?.length).toBeGreaterThan(0);
  });

  it('keeps to its limit while a guest floods it, and keeps the newest', async () => {
    const folder = await makeFolder();
    const writer = new Writer(folder);
    keepConsole(folder, 8192, writer.reopen);
    for (let number = 0; number < 3000; number += 1) {
      writer.write(`line ${number}\n`);
      if (number % 200 === 0) await yieldToEvents();
    }
    await vi.waitFor(async () => {
      const sizes = await Promise.all(
        ['console.log', 'console.old.log'].map(async (name) => (await stat(join(folder, name))).size),
      );
      expect(sizes.reduce((sum, size) => sum + size)).toBeLessThanOrEqual(8192);
    });
    expect(await readAll(folder)).toMatch(/line 2999\n(late;)*$/);
  });

  it('ends for a follower when the VM is released', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'console.log'), 'last words');
    const released = new AbortController();
    const chunks: string[] = [];
    for await (const chunk of readConsole(folder, { follow: true }, released.signal)) {
      chunks.push(chunk.toString());
      released.abort();
    }
    expect(chunks).toEqual(['last words']);
  });

  it('goes back to its one file when the VMM cannot open a new one', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'console.log'), 'x'.repeat(5000));
    let tries = 0;
    keepConsole(folder, 4096, () => {
      tries += 1;
      return Promise.reject(new Error('the monitor hangs'));
    });
    await vi.waitFor(async () => {
      expect(tries).toBeGreaterThan(0);
      expect(await readdir(folder)).toEqual(['console.log']);
    });
    expect(await readAll(folder)).toHaveLength(5000);
  });
});

describe('the log of the VMM', () => {
  it('is cut beyond its limit and goes on at the new beginning', async () => {
    const folder = await makeFolder();
    const path = join(folder, 'vmm.log');
    await writeFile(path, 'error\n'.repeat(40_000));
    const keeper = new LogKeeper(folder, [{ file: 'vmm.log', cut: () => cutVmmLog(folder) }]);
    onTestFinished(() => keeper.close());
    await vi.waitFor(async () => expect((await stat(path)).size).toBe(0));
    await appendFile(path, 'news\n');
    expect(await readFile(path, 'utf8')).toBe('news\n');
    expect(await readFile(join(folder, 'vmm.old.log'), 'utf8')).toContain('error\n');
  });
});

describe('lastLogLines', () => {
  it('has the ends of both logs, without control characters, each line bounded', async () => {
    const folder = await makeFolder();
    await writeFile(join(folder, 'vmm.log'), 'first\nqemu: bad\u0007 thing\n');
    const lines = [
      ...Array.from({ length: 50 }, (_, n) => `line ${n}`),
      '\u001b[31mred\u001b[0m',
      'y'.repeat(3000),
    ];
    await writeFile(join(folder, 'console.log'), lines.join('\r\n'));
    const told = await lastLogLines(folder);
    expect(told.slice(0, 2)).toEqual(['vmm.log: first', 'vmm.log: qemu: bad thing']);
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

  it('is empty where there are no logs', async () => {
    expect(await lastLogLines(await makeFolder())).toEqual([]);
  });
});
