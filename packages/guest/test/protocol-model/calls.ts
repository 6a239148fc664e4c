import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { isVmRuntimeError, type ExecProcess, type ExecResult } from '@microvm/runtime';
import { expect } from 'vitest';
import type { Content } from './file-contents.js';
import type { GuestModel } from './model.js';
import type { RealGuest } from './real-guest.js';

/** One step of a run: it begins calls that go on beside the next steps, and says what must become of them. */
export interface Step extends fc.WithToStringMethod {
  run(model: GuestModel, real: RealGuest): Promise<void> | void;
}

const size = fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 200_000 }));
const exitCode = fc.nat({ max: 255 });
const pick = fc.nat({ max: 100 });
const file = fc.constantFrom('a', 'b', 'c');

function step(name: string, run: Step['run']): Step {
  return { [fc.toStringMethod]: () => name, run };
}

function nth<T>(list: readonly T[], index: number): T | undefined {
  return list[index % list.length];
}

/** The answer of a call; undefined when a cut came in its way. */
async function attempt<T extends object>(real: RealGuest, call: () => Promise<T>): Promise<T | undefined> {
  const before = real.cuts;
  try {
    return await call();
  } catch (error) {
    if (real.isOfCut(error, before)) return undefined;
    throw error;
  }
}

/** How a command ended for its reader, whom only another life of the guest can take it from: undefined. */
async function endOf(
  real: RealGuest,
  { result }: ExecProcess,
  livesBefore: number,
): Promise<ExecResult | undefined> {
  try {
    return await result;
  } catch (error) {
    if (real.lives > livesBefore && isVmRuntimeError(error, 'MICROVM_GUEST_UNREACHABLE')) return undefined;
    throw error;
  }
}

const runCommand = fc.tuple(size, exitCode, size).map(([bytes, code, inputBytes]) =>
  step(
    `run a command of ${bytes} bytes and ${inputBytes} of input that exits with ${code}`,
    (model, real) => {
      const input = randomBytes(inputBytes);
      const script = `head -c ${bytes} /dev/zero; cat; echo end >&2; exit ${code}`;
      const process = real.guest.exec({ argv: ['sh', '-c', script], input });
      const lives = real.lives;
      model.known.add(process.id);
      real.begin(undefined, async () => {
        const ended = await attempt(real, () => process.result);
        if (ended === undefined) {
          // Only another life of the guest takes a command from its reader.
          expect(real.lives).toBeGreaterThan(lives);
          return;
        }
        expect({ exitCode: ended.exitCode, stderr: ended.stderr.toString() }).toEqual({
          exitCode: code,
          stderr: 'end\n',
        });
        expect(ended.stdout.equals(Buffer.concat([Buffer.alloc(bytes), input]))).toBe(true);
      });
    },
  ),
);

const startEcho = fc.constant(
  step('start an echo', async (model, real) => {
    const process = real.guest.exec({ argv: ['cat'] });
    const begun = Buffer.from('begun');
    model.known.add(process.id);
    process.stdin.on('error', () => undefined);
    process.result.catch(() => undefined);
    process.stdin.write(begun);
    await expect.poll(() => process.collected.stdout.length).toBe(begun.length);
    model.echoes.push({ id: process.id, process, written: [begun] });
  }),
);

const writeToEcho = fc.tuple(pick, size).map(([index, bytes]) =>
  step(`write ${bytes} bytes to echo ${index}`, (model) => {
    const echo = nth(model.echoes, index);
    if (echo === undefined) return;
    const data = randomBytes(bytes);
    echo.written.push(data);
    echo.process.stdin.write(data);
  }),
);

const endEcho = pick.map((index) =>
  step(`end echo ${index}`, (model, real) => {
    const echo = nth(model.echoes, index);
    if (echo === undefined) return;
    const lives = real.lives;
    model.echoes = model.echoes.filter((other) => other !== echo);
    echo.process.stdin.end();
    real.begin(undefined, async () => {
      const ended = await endOf(real, echo.process, lives);
      if (ended === undefined) return;
      expect(ended.exitCode).toBe(0);
      expect(ended.stdout.equals(Buffer.concat(echo.written))).toBe(true);
    });
  }),
);

const killEcho = pick.map((index) =>
  step(`kill echo ${index}`, (model, real) => {
    const echo = nth(model.echoes, index);
    if (echo === undefined) return;
    const lives = real.lives;
    model.echoes = model.echoes.filter((other) => other !== echo);
    real.begin(undefined, async () => {
      // A signal that met a cut was sent or not: the guest takes a second one.
      while ((await attempt(real, () => echo.process.kill('SIGKILL').then(() => echo))) === undefined)
        if (real.lives > lives) return;
      const ended = await endOf(real, echo.process, lives);
      if (ended !== undefined) expect(ended.signal).toBe('SIGKILL');
    });
  }),
);

const startUnread = fc.tuple(size, exitCode).map(([bytes, code]) =>
  step(`start a command of ${bytes} bytes that nobody reads`, async (model, real) => {
    const argv = ['sh', '-c', `head -c ${bytes} /dev/zero; exit ${code}`] as const;
    const { id } = await real.guest.start({ argv, detached: true, input: '' });
    model.known.add(id);
    model.unread.push({ id, bytes, exitCode: code });
  }),
);

const readUnread = fc.tuple(pick, pick).map(([index, percent]) =>
  step(`read unread command ${index} from ${percent} %`, async (model, real) => {
    const command = nth(model.unread, index);
    if (command === undefined) return;
    const from = Math.floor((command.bytes * percent) / 100);
    // Nobody can begin behind what was written.
    const written = async (): Promise<number | undefined> => {
      const listed = await (await real.guest.client()).commands();
      return listed.find(({ id }) => id === command.id)?.kept.stdout.to;
    };
    await expect.poll(written).toBe(command.bytes);
    const lives = real.lives;
    model.unread = model.unread.filter((other) => other !== command);
    real.begin(undefined, async () => {
      const reader = real.guest.attach(command.id, { from: { stdout: from, stderr: 0 } });
      const ended = await endOf(real, reader, lives);
      if (ended === undefined) return;
      expect(ended).toMatchObject({ exitCode: command.exitCode, missingBytes: { stdout: 0, stderr: 0 } });
      expect(ended.stdout.equals(Buffer.alloc(command.bytes - from))).toBe(true);
    });
  }),
);

const endOrphan = pick.map((index) =>
  step(`end orphan ${index}`, (model, real) => {
    const id = nth(model.orphans, index);
    if (id === undefined) return;
    model.orphans = model.orphans.filter((other) => other !== id);
    const reader = real.guest.attach(id);
    const lives = real.lives;
    real.begin(undefined, async () => {
      const kill = async (): Promise<object> => {
        const client = await real.guest.client();
        await client.kill(id, 'SIGKILL');
        return client;
      };
      while ((await attempt(real, kill)) === undefined);
      const ended = await endOf(real, reader, lives);
      if (ended === undefined) return;
      // Its input ended with the life that it was started in: it may have ended by itself.
      expect(ended.signal ?? ended.exitCode).toBe(ended.signal === null ? 0 : 'SIGKILL');
    });
  }),
);

const change = fc.constantFrom('write', 'append', 'remove', 'truncate');
const changeFile = fc.tuple(change, file, size).map(([how, name, bytes]) =>
  step(`${how} file ${name}, ${bytes} bytes`, (model, real) => {
    const data = randomBytes(bytes);
    real.begin(name, async () => {
      const path = join(real.dir, name);
      const contents = model.file(name);
      const way = contents.isVague ? 'write' : how;
      const made = {
        write: () => data,
        append: (before: Content) => Buffer.concat([before ?? Buffer.alloc(0), data]),
        remove: () => undefined,
        truncate: (before: Content) => before?.subarray(0, 0),
      }[way];
      const done = await attempt(real, async () => {
        const { files } = await real.guest.client();
        if (way === 'write') await files.writeFile(path, data, { atomic: true });
        else if (way === 'append') await files.appendFile(path, data);
        else if (way === 'remove') await files.rm(path, { force: true });
        else await files.truncate(path, 0).catch(orAbsent);
        return files;
      });
      if (done !== undefined) contents.change(made);
      else if (way === 'append') contents.mayGrow(data);
      else contents.mayChange(made);
    });
  }),
);

function orAbsent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw error;
}

const readFile = file.map((name) =>
  step(`read file ${name}`, (model, real) => {
    real.begin(name, async () => {
      const read = await attempt(real, async () => {
        const { files } = await real.guest.client();
        return { data: await files.readFile(join(real.dir, name)).catch(orAbsent) };
      });
      if (read === undefined) return;
      const contents = model.file(name);
      if (contents.allows(read.data)) return;
      expect(read.data === undefined ? 'nothing' : `${read.data.length} bytes`).toBe(contents.describe());
      throw new Error(`${name} has other bytes than were written`);
    });
  }),
);

const speak = size.map((bytes) =>
  step(`send ${bytes} bytes over a socket and back`, (_model, real) => {
    real.begin(undefined, async () => {
      await attempt(real, async () => {
        const client = await real.guest.client();
        const socket = await client.connect({ path: real.echoPath });
        const data = randomBytes(bytes);
        const chunks: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => chunks.push(chunk));
        socket.end(data);
        await once(socket, 'end');
        expect(Buffer.concat(chunks).equals(data)).toBe(true);
        return socket;
      });
    });
  }),
);

const list = fc.constant(
  step('list the commands', async (model, real) => {
    await real.settle();
    const found = (await (await real.guest.client()).commands()).map(({ id }) => id);
    const expected = [...model.echoes, ...model.unread].map(({ id }) => id).concat(model.orphans);
    expect(found).toEqual(expect.arrayContaining(expected));
    expect(found.filter((id) => !model.known.has(id))).toEqual([]);
    if (real.lives === 1) expect(found.toSorted()).toEqual(expected.toSorted());
  }),
);

const cut = fc.constant(step('cut the channel', (_model, real) => real.cut()));
const snapshot = fc.constant(step('take a snapshot', (_model, real) => real.snapshot()));
const restore = fc.constant(
  step('restore', async (model, real) => {
    model.lose();
    await real.restore();
  }),
);
const settle = fc.constant(step('wait for all calls', (_model, real) => real.settle()));

/** The steps of a run: more calls than cuts, so that most calls meet other calls. */
export const steps = fc.array(
  fc.oneof(
    ...[runCommand, runCommand, startEcho, writeToEcho, writeToEcho, endEcho, killEcho],
    ...[startUnread, readUnread, endOrphan, changeFile, changeFile, readFile, readFile, speak, speak],
    ...[list, cut, cut, snapshot, settle],
    { arbitrary: restore, weight: 1 },
  ),
  { minLength: 10, maxLength: 40, size: 'max' },
);
