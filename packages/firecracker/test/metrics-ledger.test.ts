import { execFile } from 'node:child_process';
import { mkdtemp, open, rm, symlink, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { discardFront, writeDurable } from '@microvm/native';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { beginLife } from '../src/vm/life.js';
import { MetricsLedger } from '../src/metrics/metrics-ledger.js';

const LIMITS = { keepUpBytes: 4096, maxBehindBytes: 1024 * 1024, restMs: 0 };
const KEPT_BYTES = 8192;

let folder: string;
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), 'metrics-ledger-'))));
afterEach(() => rm(folder, { recursive: true }));

const log = (): string => join(folder, 'metrics.log');

/** A line so long that the front of a file of some is blocks. */
function line(count: number, padding = 3000): string {
  return `${JSON.stringify({ utc_timestamp_ms: count, block: { read_bytes: count, pad: 'x'.repeat(padding) } })}\n`;
}

async function bytesRead(ledger: MetricsLedger): Promise<number> {
  return (await ledger.read()).counters['block.read_bytes'] ?? 0;
}

class Killed extends Error {}

/**
 * A VMM that writes as Firecracker does, without O_APPEND and in pieces, and an owner that is killed at any
 * place: what a kill takes is all that is in memory, so a new ledger is what comes after it.
 */
class Host {
  written = 0;
  #ledger = this.#open();
  #file: FileHandle | undefined;
  #position = 0;
  #unfinished: { readonly rest: string; readonly count: number } | undefined;
  #dieInSave: 'before' | 'after' | undefined;

  #open(): MetricsLedger {
    return new MetricsLedger(folder, LIMITS, async (path, data) => {
      const death = this.#dieInSave;
      this.#dieInSave = undefined;
      if (death === 'before') throw new Killed();
      await writeDurable(path, data);
      if (death === 'after') throw new Killed();
    });
  }

  kill(): void {
    this.#ledger = this.#open();
  }

  /** The next save is the last thing that the owner does. */
  dieInSave(when: 'before' | 'after'): void {
    this.#dieInSave = when;
  }

  /**
   * A new life as `launch` makes it; the owner may be killed behind each of its effects, and the next one
   * begins anew.
   */
  async beginLife(killedBehind: readonly number[]): Promise<void> {
    await this.#file?.close();
    this.#file = this.#unfinished = undefined;
    this.#position = 0;
    for (const last of [...killedBehind, Number.POSITIVE_INFINITY]) {
      const effects = [
        () => this.#settle(),
        () => rm(log(), { force: true }),
        () => writeFile(log(), ''),
        () => beginLife(folder),
      ];
      for (const effect of effects.slice(0, last)) await effect();
      if (last < effects.length) this.kill();
    }
    this.#file = await open(log(), 'r+');
  }

  async write(count: number, cutAt: number): Promise<void> {
    const text = this.#unfinished?.rest ?? line(count);
    const wholeCount = this.#unfinished?.count ?? count;
    const part = text.slice(0, cutAt % (text.length + 1));
    await this.#file?.write(part, this.#position);
    this.#position += part.length;
    if (part.length === text.length) this.written += wholeCount;
    this.#unfinished =
      part.length === text.length ? undefined : { rest: text.slice(part.length), count: wholeCount };
  }

  /** As the keeper of logs does at a write. */
  async keep(): Promise<void> {
    const isCounted = await this.#orKilled(() => this.#ledger.keepUp());
    if (isCounted) await discardFront(log(), KEPT_BYTES);
  }

  async expectTotal(): Promise<void> {
    expect(await bytesRead(this.#ledger)).toBe(this.written);
  }

  async close(): Promise<void> {
    await this.#file?.close();
    await this.#ledger.close();
  }

  async #settle(): Promise<void> {
    while (!(await this.#orKilled(() => this.#ledger.settle())));
  }

  async #orKilled(act: () => Promise<void>): Promise<boolean> {
    try {
      await act();
      return true;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      this.kill();
      return false;
    }
  }
}

const act = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      write: fc.nat(1000),
      cutAt: fc.oneof({ weight: 4, arbitrary: fc.constant(1e9) }, { weight: 1, arbitrary: fc.nat(5000) }),
    }),
  },
  { weight: 4, arbitrary: fc.constant('keep' as const) },
  { weight: 2, arbitrary: fc.constant('read' as const) },
  { weight: 2, arbitrary: fc.constant('kill' as const) },
  { weight: 2, arbitrary: fc.constantFrom('die before the save' as const, 'die after the save' as const) },
  { weight: 1, arbitrary: fc.record({ killedBehind: fc.array(fc.nat(4), { maxLength: 3 }) }) },
);

describe('the totals of a VM', () => {
  it('are the sum of all lines ever written, over lives and owners, wherever an owner is killed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 20, maxLength: 60 }), async (acts) => {
        await Promise.all(
          ['metrics.log', 'metrics.json', 'life.json'].map((name) => rm(join(folder, name), { force: true })),
        );
        const host = new Host();
        await host.beginLife([]);
        for (const one of acts) {
          if (one === 'keep') await host.keep();
          else if (one === 'read') await host.expectTotal();
          else if (one === 'kill') host.kill();
          else if (one === 'die before the save') host.dieInSave('before');
          else if (one === 'die after the save') host.dieInSave('after');
          else if ('killedBehind' in one) await host.beginLife(one.killedBehind);
          else await host.write(one.write, one.cutAt === 1e9 ? line(one.write).length : one.cutAt);
        }
        host.kill();
        await host.expectTotal();
        await host.close();
      }),
      { numRuns: 100 },
    );
  }, 120_000);

  it('count lives that wrote the same, each', async () => {
    for (let life = 1; life <= 3; life += 1) {
      await writeFile(log(), line(1));
      await beginLife(folder);
      await new MetricsLedger(folder, LIMITS).settle();
    }
    await rm(log());
    expect(await bytesRead(new MetricsLedger(folder, LIMITS))).toBe(3);
  });

  it('are saved before a front goes, also when the life before had written nearly as much', async () => {
    await writeFile(log(), line(0).repeat(4));
    await beginLife(folder);
    await new MetricsLedger(folder, LIMITS).settle();
    await writeFile(log(), line(1).repeat(5));
    await beginLife(folder);
    const ledger = new MetricsLedger(folder, LIMITS);
    expect(await bytesRead(ledger)).toBe(5);
    await ledger.keepUp();
    await discardFront(log(), KEPT_BYTES);
    expect(await bytesRead(new MetricsLedger(folder, LIMITS))).toBe(5);
  });

  it('keep what a value was last, and add up the rest', async () => {
    await writeFile(
      log(),
      [
        {
          api_server: { process_startup_time_us: 9 },
          vcpu: { exit_io_in: 2, exit_io_in_agg: { min_us: 3, max_us: 5, sum_us: 8 } },
        },
        {
          api_server: { process_startup_time_us: 9 },
          vcpu: { exit_io_in: 1, exit_io_in_agg: { min_us: 2, max_us: 5, sum_us: 2 } },
        },
      ]
        .map((entry) => `${JSON.stringify(entry)}\n`)
        .join(''),
    );
    expect(await new MetricsLedger(folder).read()).toEqual({
      counters: { 'vcpu.exit_io_in': 3, 'vcpu.exit_io_in_agg.sum_us': 10 },
      gauges: {
        'api_server.process_startup_time_us': 9,
        'vcpu.exit_io_in_agg.min_us': 2,
        'vcpu.exit_io_in_agg.max_us': 5,
      },
    });
  });
});

describe('a VMM that writes what it likes', () => {
  it('makes nothing fail, and names and numbers that are no metrics are not taken', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.json()), { maxLength: 20 }),
        async (pieces) => {
          const lines = pieces.flatMap((piece) => [Buffer.from(piece as string), Buffer.from('\n')]);
          await writeFile(log(), Buffer.concat([...lines, Buffer.from(line(7, 0))]));
          const { counters, gauges } = await new MetricsLedger(folder).read();
          expect(counters['block.read_bytes']).toBe(7);
          for (const [name, value] of [...Object.entries(counters), ...Object.entries(gauges)]) {
            expect(name).toMatch(/^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,2}$/);
            expect(Number.isSafeInteger(value) && value >= 0).toBe(true);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it.each([
    ['negative', -1],
    ['a fraction', 0.5],
    ['beyond what a number holds', 2 ** 60],
    ['a text', '5'],
    ['null', null],
  ])('has no number that is %s counted', async (_what, value) => {
    await writeFile(log(), `${JSON.stringify({ a: { n: value, m: 1 } })}\n`);
    expect((await new MetricsLedger(folder).read()).counters).toEqual({ 'a.m': 1 });
  });

  it('has a line that never ends passed over, and the next one read', async () => {
    await writeFile(log(), `{"a":"${'x'.repeat(1024 * 1024)}"}\n${line(3)}`);
    expect(await bytesRead(new MetricsLedger(folder))).toBe(3);
  });

  it('has no more names than there can be, and no depth', async () => {
    const names = Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`n${index}`, 1]));
    await writeFile(
      log(),
      `${JSON.stringify({ b: { c: { d: 1, e: { f: 1 } } } })}\n${JSON.stringify(names)}\n`,
    );
    const { counters } = await new MetricsLedger(folder).read();
    expect(Object.keys(counters)).toHaveLength(4096);
    expect(counters).toMatchObject({ 'b.c.d': 1 });
    expect(counters).not.toHaveProperty(['b.c.e.f']);
  });

  it('is read no further back than the bound, however long it makes its file', async () => {
    await writeFile(log(), line(1));
    await truncate(log(), 2 ** 40);
    const file = await open(log(), 'a');
    await file.write(`\n${line(2)}`);
    await file.close();
    expect(await bytesRead(new MetricsLedger(folder, LIMITS))).toBe(2);
  });

  it('loses no total by a file longer than any place in it can be named', async () => {
    // Of the file systems here only tmpfs has such files.
    await rm(folder, { recursive: true });
    folder = await mkdtemp('/dev/shm/metrics-ledger-');
    await writeFile(log(), line(2));
    await new MetricsLedger(folder, LIMITS).settle();
    await promisify(execFile)('truncate', ['--size', String(2n ** 62n), log()]);
    await new MetricsLedger(folder, LIMITS).settle();
    expect(await bytesRead(new MetricsLedger(folder, LIMITS))).toBe(2);
  });

  it('that cuts its file loses what it cut, no more', async () => {
    await writeFile(log(), line(1).repeat(3));
    const ledger = new MetricsLedger(folder, LIMITS);
    expect(await bytesRead(ledger)).toBe(3);
    await truncate(log(), 10);
    expect(await bytesRead(ledger)).toBe(3);
    await writeFile(log(), line(5).repeat(5));
    expect(await bytesRead(ledger)).toBe(13);
  });

  it('is not followed through a link', async () => {
    await writeFile(join(folder, 'secret'), line(9));
    await symlink('secret', log());
    await expect(new MetricsLedger(folder).read()).rejects.toMatchObject({ code: 'ELOOP' });
  });
});

describe('a ledger', () => {
  it('that was closed touches no file any more', async () => {
    await writeFile(log(), line(1));
    const ledger = new MetricsLedger(folder, LIMITS);
    await ledger.close();
    await expect(ledger.settle()).rejects.toMatchObject({ code: 'MICROVM_CLOSED' });
  });

  it('begins anew where what was saved cannot be read', async () => {
    await writeFile(join(folder, 'metrics.json'), 'no JSON');
    await writeFile(log(), line(4));
    expect(await bytesRead(new MetricsLedger(folder))).toBe(4);
  });
});
