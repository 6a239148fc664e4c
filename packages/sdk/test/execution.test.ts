import { Readable } from 'node:stream';
import { createFaults, type GuestScript } from '@microvm/in-memory';
import { expect, it, onTestFinished, vi } from 'vitest';
import { CommandError, type Execution, type Vm } from '../src/index.js';
import { memoryMicrovm } from './in-memory.js';

/** A guest with a few programs; `sh` tells what it was asked to run. */
const script: GuestScript = {
  async exec(command, guest) {
    const [program, ...args] = command.argv;
    switch (program) {
      case '/bin/sh':
        await command.stdout(`sh ran: ${args.join(' ')}\n`);
        return 0;
      case 'show':
        await command.stdout(JSON.stringify({ args, cwd: command.cwd, answer: command.env['ANSWER'] }));
        return 0;
      case 'cat':
        for await (const bytes of command.stdin) await command.stdout(bytes);
        return 0;
      case 'fail':
        await command.stderr('no such tenant\n');
        return 3;
      case 'bytes':
        // A euro sign, cut in two.
        await command.stdout(Uint8Array.of(0xe2, 0x82));
        await command.stdout(Uint8Array.of(0xac, 0x0a));
        return 0;
      case 'cut':
        await command.stdout(Buffer.from('\ufeffbegin'));
        await command.stdout(Uint8Array.of(0xe2, 0x82));
        return 0;
      case 'head':
        for await (const bytes of command.stdin) {
          await command.stdout(bytes.subarray(0, 5));
          break;
        }
        return 3;
      case 'forever':
        await command.stdout('begun\n');
        await guest.sleep(2 ** 30, command.signal);
        return 0;
      default:
        return undefined;
    }
  },
};

async function scriptedVm(): Promise<Vm> {
  const { microvm } = await memoryMicrovm({ guest: script });
  return microvm.create();
}

it('gives a string to the guest’s shell and an array to the program', async () => {
  const vm = await scriptedVm();
  expect((await vm.exec('uname -a | wc')).stdout).toBe('sh ran: -c uname -a | wc\n');
  const shown = await vm.exec(['show', 'a b', '$HOME'], { cwd: '/srv', env: { ANSWER: '42' } });
  expect(JSON.parse(shown.stdout)).toEqual({ args: ['a b', '$HOME'], cwd: '/srv', answer: '42' });
});

it('answers with exit code, output and whether it went well', async () => {
  const vm = await scriptedVm();
  expect(await vm.exec(['bytes'])).toMatchObject({
    exitCode: 0,
    signal: null,
    ok: true,
    stdout: '€\n',
    stderr: '',
  });
  const failed = await vm.exec(['fail']);
  expect(failed).toMatchObject({ exitCode: 3, ok: false, stderr: 'no such tenant\n' });
  expect(failed.stderrBytes).toEqual(Buffer.from('no such tenant\n'));
});

it('rejects for a command that fails only when asked to', async () => {
  const vm = await scriptedVm();
  const error: unknown = await vm.exec(['fail', 'x'], { throwOnError: true }).catch((e: unknown) => e);
  if (!(error instanceof CommandError)) throw error;
  expect(error.message).toBe('run "fail x": exited with 3: no such tenant');
  expect(error.result.exitCode).toBe(3);
  await expect(vm.exec(['bytes'], { throwOnError: true })).resolves.toMatchObject({ ok: true });
});

it('iterates the output as it comes, with characters whole', async () => {
  const vm = await scriptedVm();
  const run = vm.exec(['bytes']);
  const texts: string[] = [];
  const bytes: Buffer[] = [];
  for await (const { stream, data, text } of run) {
    expect(stream).toBe('stdout');
    bytes.push(data);
    texts.push(text);
  }
  expect(Buffer.concat(bytes).toString()).toBe('€\n');
  expect(texts.join('')).toBe('€\n');
  expect((await run).exitCode).toBe(0);
});

it('iterates all that a result would have as text: also a byte order mark, and a last character that is cut', async () => {
  const vm = await scriptedVm();
  let text = '';
  for await (const piece of vm.exec(['cut'])) text += piece.text;
  expect(text).toBe('\ufeffbegin\ufffd');
  expect((await vm.exec(['cut'])).stdout).toBe(text);
});

it('throws behind the last piece of output when a command fails that must not', async () => {
  const vm = await scriptedVm();
  const texts: string[] = [];
  const loop = async () => {
    for await (const { text } of vm.exec(['fail'], { throwOnError: true })) texts.push(text);
  };
  await expect(loop()).rejects.toBeInstanceOf(CommandError);
  expect(texts.join('')).toBe('no such tenant\n');
});

it('kills the command when the loop is left early', async () => {
  const vm = await scriptedVm();
  const run = vm.exec(['forever']);
  for await (const { text } of run) {
    expect(text).toBe('begun\n');
    break;
  }
  expect(await run).toMatchObject({ exitCode: null, signal: 'SIGKILL', ok: false });
});

it('has an empty standard input by default, so that nothing waits for one', async () => {
  const vm = await scriptedVm();
  expect((await vm.exec(['cat'])).stdout).toBe('');
});

it('gives input as text, as bytes, or as it comes', async () => {
  const vm = await scriptedVm();
  const inputs = ['one two', Buffer.from('one two'), Readable.from(['one ', 'two'])];
  for (const input of inputs) expect((await vm.exec(['cat'], { input })).stdout).toBe('one two');
});

it('kills the command and rejects with the input’s own error when the input fails', async () => {
  const vm = await scriptedVm();
  const failure = new Error('disk on fire');
  async function* broken(): AsyncGenerator<string> {
    yield 'one ';
    throw failure;
  }
  await expect(vm.exec(['cat'], { input: broken() })).rejects.toBe(failure);
});

const endless = {
  'an endless stream': () => new Readable({ read() {}, highWaterMark: 1 }),
  'a stream that is full': () => Readable.from(pieces(1_000)),
  'a generator': () => pieces(1_000),
  'a generator that waits for ever': () => pieces(1, never),
};
const never = new Promise<void>(() => {});

async function* pieces(count: number, then?: Promise<void>): AsyncGenerator<Buffer> {
  for (let piece = 0; piece < count; piece++) yield Buffer.alloc(100_000, 'x');
  await then;
}

it.each(Object.keys(endless) as (keyof typeof endless)[])(
  'tells how a command ended that read a little of %s, and lets the rest go',
  async (name) => {
    const vm = await scriptedVm();
    const input = endless[name]();
    if (input instanceof Readable) input.push('xxxxxxxx');
    const result = await vm.exec(['head'], { input });
    expect(result).toMatchObject({ exitCode: 3, stdout: 'xxxxx' });
    if (input instanceof Readable) await expect.poll(() => input.destroyed).toBe(true);
  },
);

it('ends a generator whose command reads no more', async () => {
  const vm = await scriptedVm();
  let end: () => void = () => {};
  const ended = new Promise<void>((resolve) => (end = resolve));
  async function* source(): AsyncGenerator<Buffer> {
    try {
      yield* pieces(1_000);
    } finally {
      end();
    }
  }
  expect((await vm.exec(['head'], { input: source() })).exitCode).toBe(3);
  await ended;
});

it('rejects for input that is neither text nor bytes', async () => {
  const vm = await scriptedVm();
  const input = Readable.from([5]) as AsyncIterable<string>;
  await expect(vm.exec(['cat'], { input })).rejects.toBeInstanceOf(TypeError);
});

it('tells a time limit as it was asked for, whatever of it was left for the command', async () => {
  const vm = await scriptedVm();
  const clock = vi.spyOn(performance, 'now');
  onTestFinished(() => clock.mockRestore());
  // Half a second goes by between the call and the start.
  clock.mockReturnValueOnce(0).mockReturnValueOnce(500);
  await expect(vm.exec(['forever'], { timeoutMs: 530 })).rejects.toMatchObject({
    message: 'exec: no end after 530 ms',
    details: { timeoutMs: 530 },
  });
});

it('ends by signal, by time limit, and by kill', async () => {
  const vm = await scriptedVm();
  const reason = new Error('enough');
  const abort = new AbortController();
  const aborted = vm.exec(['forever'], { signal: abort.signal });
  abort.abort(reason);
  await expect(aborted).rejects.toBe(reason);
  await expect(vm.exec(['forever'], { timeoutMs: 20 })).rejects.toMatchObject({ code: 'MICROVM_TIMEOUT' });
  const killed = vm.exec(['forever']);
  await killed.kill('SIGTERM');
  expect(await killed).toMatchObject({ signal: 'SIGTERM', exitCode: null });
});

it('rejects with what the runtime says: no such program, not running, too much output', async () => {
  const vm = await scriptedVm();
  await expect(vm.exec(['no-such-program'])).rejects.toMatchObject({ code: 'MICROVM_EXEC_FAILED' });
  await expect(vm.exec('x', { maxOutputBytes: 4 })).rejects.toMatchObject({ code: 'MICROVM_OUTPUT_LIMIT' });
  await vm.stop();
  await expect(vm.exec('true')).rejects.toMatchObject({ code: 'MICROVM_INVALID_TRANSITION' });
});

it('blames the spec, and not the driver, for a guest without an agent', async () => {
  const { microvm } = await memoryMicrovm({ guest: script });
  const vm = await microvm.create({ agent: 'none' });
  await expect(vm.exec('true')).rejects.toMatchObject({
    code: 'MICROVM_UNSUPPORTED',
    message: expect.stringContaining("created with agent: 'none'") as unknown,
    remedy: expect.stringContaining("agent: 'required'") as unknown,
  });
});

it('refuses what is no command, and options that do not exist, by rejecting', async () => {
  const vm = await scriptedVm();
  await expect(vm.exec('')).rejects.toMatchObject({ details: { path: 'command' } });
  await expect(vm.exec([] as unknown as ['x'])).rejects.toMatchObject({ details: { path: 'command' } });
  await expect(vm.exec('true', { timeout: 5 } as object)).rejects.toThrow(/did you mean "timeoutMs"/);
  await expect(vm.exec('true', { cwd: 'srv' })).rejects.toMatchObject({ details: { path: 'options.cwd' } });
});

it('does not end the process for a failure that nobody has looked at yet', async () => {
  const vm = await scriptedVm();
  await vm.stop();
  const failed = vm.exec('true');
  await vm.view();
  await expect(failed).rejects.toMatchObject({ code: 'MICROVM_INVALID_TRANSITION' });
});

it('shows the console, whole or as it comes', async () => {
  const { microvm } = await memoryMicrovm({
    guest: { boot: (guest) => guest.console('one €\n') },
  });
  const vm = await microvm.create();
  expect(await vm.console()).toContain('one €\n');
  const abort = new AbortController();
  let seen = '';
  for await (const text of vm.console({ follow: true, signal: abort.signal })) {
    seen += text;
    if (seen.includes('one €\n')) break;
  }
  expect(seen).toContain('one €\n');
});

it('runs a command as a user, on a terminal of a size, and types its input', async () => {
  const { microvm } = await memoryMicrovm();
  const vm = await microvm.create();
  expect((await vm.exec(['id', '-u'], { user: 'nobody' })).stdout).toBe('65534\n');
  await expect(vm.exec('true', { user: 'no-such-user' })).rejects.toMatchObject({
    code: 'MICROVM_EXEC_FAILED',
    details: { step: 'user' },
  });
  const pty = { cols: 80, rows: 24, term: 'vt100' };
  expect((await vm.exec(['cat'], { pty, input: 'typed\r' })).stdout).toBe('typed\r\ntyped\r\n');
  expect((await vm.exec(['env'], { pty })).stdout).toContain('TERM=vt100\r\n');
  const typed = async function* () {
    yield 'go\r';
  };
  const sized = vm.exec('read line; stty size', { pty, input: typed() });
  await sized.resize({ cols: 100, rows: 30 });
  expect((await sized).stdout).toMatch(/(24 80|30 100)\r\n$/);
  await expect(vm.exec('true').resize(pty)).rejects.toMatchObject({ code: 'MICROVM_INVALID_ARGUMENT' });
});

it.each([
  ['options.user', { user: [] }],
  ['options.rlimits', { rlimits: 5 }],
  ['options.pty', { pty: true }],
  ['pty.cols', { pty: { rows: 5 } }],
  ['rlimits.memory', { rlimits: { memory: 5 } }],
])('refuses a wrong %s', async (path, options) => {
  const vm = await scriptedVm();
  await expect(vm.exec('true', options as object)).rejects.toMatchObject({
    code: 'MICROVM_INVALID_ARGUMENT',
    details: { path },
  });
});

it('has one time limit for the whole call, also while the guest is out of reach', async () => {
  const faults = createFaults();
  const { microvm } = await memoryMicrovm({ guest: script, faults });
  const vm = await microvm.create();
  const late = { code: 'MICROVM_TIMEOUT', details: { operation: 'exec', timeoutMs: 30 } };
  for (const use of [
    (execution: Execution) => execution,
    (execution: Execution) => execution[Symbol.asyncIterator]().next(),
    (execution: Execution) => execution.kill(),
  ]) {
    const unreachable = faults.add({ at: 'guest', kind: 'hang' });
    await expect(use(vm.exec(['cat'], { timeoutMs: 30 }))).rejects.toMatchObject(late);
    unreachable.remove();
  }
  expect(await vm.exec(['cat'], { timeoutMs: 600_000 })).toMatchObject({ exitCode: 0 });
});

it('keeps what a command had written when its time was up, and when it was aborted', async () => {
  const vm = await scriptedVm();
  const late = vm.exec(['forever'], { timeoutMs: 200 });
  await expect(late).rejects.toMatchObject({
    code: 'MICROVM_TIMEOUT',
    details: { timeoutMs: 200 },
    result: { stdout: Buffer.from('begun\n') },
  });
  const abort = new AbortController();
  const aborted = vm.exec(['forever'], { signal: abort.signal });
  expect(aborted.collected.stdout).toHaveLength(0);
  const ended = aborted.catch((error: unknown) => error);
  await expect.poll(() => aborted.collected.stdout.toString()).toBe('begun\n');
  const reason = new Error('enough');
  abort.abort(reason);
  expect(await ended).toBe(reason);
  expect(aborted.collected.stdout.toString()).toBe('begun\n');
});
