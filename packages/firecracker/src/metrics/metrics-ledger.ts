import { constants, open, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreMissing } from '@microvm/driver-kit';
import { readJsonIfSound } from '@microvm/image';
import { writeDurable } from '@microvm/native';
import { MIB, VmRuntimeError, type VmmMetrics } from '@microvm/runtime';
import { z } from 'zod';
import { MetricsTotals } from './metrics-totals.js';
import { VM_FILES } from '../host/paths.js';
import { readLife } from '../vm/life.js';

const FORMAT = 1;
const CHUNK_BYTES = 64 * 1024;
// A line has some 12 KiB, and 1 for each device.
const MAX_LINE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export interface MetricsLedgerLimits {
  /** So far it may fall behind the file before `keepUp` reads and saves; half of what is kept of the file. */
  readonly keepUpBytes: number;
  /** Lines that are further behind are passed over: some 22 hours without an owner. */
  readonly maxBehindBytes: number;
  /**
   * The shortest time between two times that `keepUp` reads so much at once: a VMM that floods its file
   * cannot keep us at it.
   */
  readonly restMs: number;
}

const LIMITS: MetricsLedgerLimits = {
  keepUpBytes: 512 * 1024,
  maxBehindBytes: 16 * MIB,
  restMs: 10_000,
};

const savedSchema = z.strictObject({
  format: z.literal(FORMAT),
  /** The life whose file `offset` is in. */
  lifeId: z.string(),
  /** Behind the last line that the totals have. */
  offset: z.int().nonnegative(),
  counters: z.record(z.string(), z.number()),
  gauges: z.record(z.string(), z.number()),
});

type Place = Pick<z.infer<typeof savedSchema>, 'lifeId' | 'offset'>;

/**
 * A VM's metrics as totals over all its lives and owners. Each life has a file of lines, which its
 * Firecracker writes. A read goes on where the last read ended. Totals and place are saved together, in one
 * durable write, only when lines are about to be lost: before a file's front is given back, and before the
 * next life's file replaces the file. When this process is killed, the next process reads again what was not
 * saved.
 */
export class MetricsLedger {
  readonly #directory: string;
  readonly #limits: MetricsLedgerLimits;
  readonly #save: typeof writeDurable;
  #totals = new MetricsTotals();
  #place: Place = { lifeId: '', offset: 0 };
  #saved: Place = this.#place;
  #isLoaded = false;
  /** In the middle of a line that is too long, or whose beginning was passed over. */
  #isSkipping = false;
  #lastCatchUp = Number.NEGATIVE_INFINITY;
  #isClosed = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    directory: string,
    limits: MetricsLedgerLimits = LIMITS,
    save: typeof writeDurable = writeDurable,
  ) {
    this.#directory = directory;
    this.#limits = limits;
    this.#save = save;
  }

  /** The totals of all lines that were written. */
  read(): Promise<VmmMetrics> {
    return this.#inTurn(async () => {
      await this.#advance();
      return this.#totals.figures;
    });
  }

  /** To be called before the file's front is given back: afterwards what goes is counted. */
  async keepUp(): Promise<void> {
    const size = (await stat(this.#path).catch(ignoreMissing))?.size ?? 0;
    const { lifeId } = await readLife(this.#directory);
    // A life that is not known yet has no saved totals.
    const behind = (place: Place): number => (place.lifeId === lifeId ? size - place.offset : size);
    // Only what is saved counts, because the rest is lost with this process.
    const unsaved = behind(this.#saved);
    const unread = behind(this.#place);
    const { keepUpBytes, restMs } = this.#limits;
    if (unsaved < keepUpBytes) return;
    const now = performance.now();
    if (unread >= keepUpBytes) {
      if (now - this.#lastCatchUp < restMs) return;
      this.#lastCatchUp = now;
    }
    await this.settle();
  }

  /**
   * Counts the file to its end, durably: it may be removed then, and another life begin. Its VMM must be gone
   * for that.
   */
  settle(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#advance();
      const { lifeId, offset } = this.#place;
      if (lifeId === this.#saved.lifeId && offset === this.#saved.offset) return;
      const content = JSON.stringify({ format: FORMAT, lifeId, offset, ...this.#totals.figures });
      await this.#save(join(this.#directory, VM_FILES.metricsTotals), content);
      this.#saved = this.#place;
    });
  }

  /** Lets go of the files. Resolves when no work on them is left; later calls are refused. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#turn;
  }

  get #path(): string {
    return join(this.#directory, VM_FILES.metrics);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) {
      const details = { what: 'metrics' };
      return Promise.reject(new VmRuntimeError('MICROVM_CLOSED', 'the metrics are closed', { details }));
    }
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #advance(): Promise<void> {
    await this.#load();
    const { lifeId } = await readLife(this.#directory);
    // When a life's facts are lost, as by a power cut, the life is taken for the one that is known.
    if (lifeId !== '' && lifeId !== this.#place.lifeId) this.#moveTo({ lifeId, offset: 0 });
    const file = await openLog(this.#path);
    if (file === undefined) return;
    try {
      await this.#readLines(file);
    } finally {
      await file.close();
    }
  }

  async #load(): Promise<void> {
    if (this.#isLoaded) return;
    const saved = await readJsonIfSound(join(this.#directory, VM_FILES.metricsTotals), savedSchema);
    this.#isLoaded = true;
    if (saved === undefined) return;
    this.#totals = new MetricsTotals(saved);
    this.#place = this.#saved = { lifeId: saved.lifeId, offset: saved.offset };
  }

  async #readLines(file: FileHandle): Promise<void> {
    const stats = await file.stat();
    // The VMM can make its file longer than any place that can be read here.
    if (!stats.isFile() || !Number.isSafeInteger(stats.size)) return;
    const earliest = stats.size - this.#limits.maxBehindBytes;
    if (earliest > this.#place.offset) this.#moveTo({ ...this.#place, offset: earliest }, true);
    let rest: Buffer = Buffer.alloc(0);
    // Reads up to the size that was found, so that a VMM that goes on writing cannot hold up the read.
    for (let position = this.#place.offset; position < stats.size;) {
      const length = Math.min(CHUNK_BYTES, stats.size - position);
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      rest = this.#takeLines(Buffer.concat([rest, buffer.subarray(0, bytesRead)]));
    }
  }

  /** Counts the whole lines; answers what is behind them. */
  #takeLines(bytes: Buffer): Buffer {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      if (!this.#isSkipping && end - start <= MAX_LINE_BYTES) {
        this.#totals.addLine(bytes.toString('utf8', start, end));
      }
      this.#moveTo({ ...this.#place, offset: this.#place.offset + end + 1 - start });
      start = end + 1;
    }
    const rest = bytes.subarray(start);
    if (rest.length <= MAX_LINE_BYTES) return rest;
    this.#moveTo({ ...this.#place, offset: this.#place.offset + rest.length }, true);
    return Buffer.alloc(0);
  }

  #moveTo(place: Place, isSkipping = false): void {
    this.#place = place;
    this.#isSkipping = isSkipping;
  }
}

/**
 * The file as its name in our own folder leads to it, which no VMM can change; nothing else than the file
 * itself.
 */
function openLog(path: string): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  return open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(ignoreMissing);
}
