import type { Argv, ExecProcess, ExecRequest, Guest, PtySize } from '@microvm/runtime';
import { outputOf } from '@microvm/conformance/linux-guest';
import { expect, it, onTestFinished } from 'vitest';
import { openForTest } from './open-runtime.js';
import { Screen } from './screen.js';

const SIZE = { cols: 60, rows: 12 };

/** A program on a terminal of the guest, drawn on a screen of the host. */
class Terminal {
  readonly #process: ExecProcess;
  readonly #screen = new Screen(SIZE);
  readonly ended: Promise<unknown>;

  constructor(guest: Guest, argv: Argv) {
    onTestFinished(() => this.#screen.close());
    const process = guest.exec({ argv, pty: { ...SIZE, term: 'screen' } });
    this.#process = process;
    this.ended = (async () => {
      for await (const { data } of process) this.#screen.show(data);
      return process.result;
    })();
    // A test that fails before it asks has an error of its own.
    this.ended.catch(() => undefined);
  }

  type(keys: string): void {
    this.#process.stdin.write(keys);
  }

  resize(size: PtySize): void {
    this.#screen.resize(size);
    this.#process.resize(size);
  }

  async shows(lines: readonly (string | RegExp)[]): Promise<void> {
    const wanted = lines.map((line) =>
      typeof line === 'string' ? line : (expect.stringMatching(line) as string),
    );
    await expect.poll(() => this.#screen.lines()).toEqual(wanted);
  }

  async showsAmongOthers(pattern: RegExp): Promise<void> {
    await expect.poll(() => this.#screen.lines().join('\n')).toMatch(pattern);
  }
}

async function bootedGuest(): Promise<Guest> {
  const runtime = await openForTest();
  await runtime.createVm('a');
  await runtime.startVm('a');
  return runtime.guest('a');
}

it('runs vi on a terminal: what is typed is drawn, edited and saved, after a new size too', async () => {
  const guest = await bootedGuest();
  const vi = new Terminal(guest, ['vi', '/tmp/note']);
  const tildes = (count: number): string[] => Array.from({ length: count }, () => '~');
  await vi.shows(['', ...tildes(10), '- /tmp/note 1/1 100%']);
  vi.type('ifirst line\rsecond\u001b');
  await vi.shows(['first line', 'second', ...tildes(9), '- /tmp/note [Modified] 2/2 100%']);
  vi.resize({ cols: 40, rows: 8 });
  vi.type('\u000c');
  await vi.shows(['first line', 'second', ...tildes(5), '- /tmp/note [Modified] 2/2 100%']);
  vi.type(':wq\r');
  expect(await vi.ended).toMatchObject({ exitCode: 0 });
  expect(await outputOf(guest, 'cat /tmp/note')).toBe('first line\nsecond');
});

it('runs less on a terminal: pages, searches, and quits', async () => {
  const guest = await bootedGuest();
  await outputOf(guest, 'seq 1 100 > /tmp/numbers');
  const less = new Terminal(guest, ['less', '/tmp/numbers']);
  const numbers = (from: number): string[] => Array.from({ length: 11 }, (_, index) => `${from + index}`);
  await less.shows([...numbers(1), '/tmp/numbers']);
  less.type(' ');
  await less.shows([...numbers(12), ':']);
  less.type('/77\r');
  await less.shows([...numbers(77), ':']);
  less.type('q');
  expect(await less.ended).toMatchObject({ exitCode: 0 });
});

it('runs top on a terminal until Ctrl-C', async () => {
  const guest = await bootedGuest();
  const top = new Terminal(guest, ['top']);
  await top.showsAmongOthers(
    /^Mem: \d+K used.*\nCPU: .*\nLoad average: .*\n +PID +PPID USER .*\n(.*\n)*.* top$/m,
  );
  top.type('\u0003');
  // It handles the signal, to leave the terminal as it was.
  expect(await top.ended).toMatchObject({ exitCode: 0 });
});

it('runs a shell with jobs: Ctrl-Z stops one, fg goes on with it', async () => {
  const guest = await bootedGuest();
  const shell = new Terminal(guest, ['sh', '-i']);
  await shell.showsAmongOthers(/[#$] *$/);
  shell.type('cat\r');
  await shell.showsAmongOthers(/cat$/);
  shell.type('echoed\r');
  await shell.showsAmongOthers(/echoed\nechoed$/);
  shell.type('\u001a');
  await shell.showsAmongOthers(/Stopped +cat/);
  shell.type('fg\r');
  await shell.showsAmongOthers(/fg\ncat$/);
  // A line feed: the shell may still be giving the terminal back, and has no use for carriage returns
  // meanwhile.
  shell.type('again\n\u0004');
  await shell.showsAmongOthers(/again\nagain/);
  shell.type('exit 5\r');
  expect(await shell.ended).toMatchObject({ exitCode: 5 });
});

it('runs commands as users of the guest, within limits', async () => {
  const guest = await bootedGuest();
  const run = async (script: string, request: Partial<ExecRequest>): Promise<string> => {
    const { stdout, stderr } = await guest.exec({ argv: ['sh', '-c', script], ...request }).result;
    return stdout.toString() + stderr.toString();
  };
  expect(await run('echo $(id -u) $(id -g) $HOME $USER', { user: 'nobody' })).toBe('65534 65534 / nobody\n');
  expect(await run('id -u; id -G', { user: '7:tty' })).toBe('7\n5\n');
  expect(await run('echo x > /root/file', { user: 'nobody' })).toMatch(/can't create|Permission denied/);
  expect(await run('ulimit -n; ulimit -t', { rlimits: { openFiles: 33, cpuSeconds: 9 } })).toBe('33\n9\n');
  const forks = 'sleep 9 & sleep 9 & sleep 9 & sleep 9';
  expect(await run(forks, { user: 'nobody', rlimits: { processes: 3 } })).toMatch(/can't fork/);
  const error = await guest
    .exec({ argv: ['true'], user: 'nobody', cwd: '/root' })
    .result.catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: 'MICROVM_EXEC_FAILED', details: { step: 'cwd', errno: 'EACCES' } });
});
