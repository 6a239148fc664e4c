import type { DriverVm, ExecResult, Guest } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { createVirtualClock, ScriptedErrno, type GuestScript } from '../src/index.js';
import { makeRun, makeVm, openDriver, runningVm, snapshotOf, type Harness } from './driver-harness.js';

interface Talk extends Harness {
  readonly vm: DriverVm;
  readonly guest: Guest;
  readonly run: (...argv: [string, ...string[]]) => Promise<ExecResult>;
}

async function talk(script: GuestScript = {}, options: Parameters<typeof openDriver>[0] = {}): Promise<Talk> {
  const harness = await openDriver({ guest: script, ...options });
  const vm = await runningVm(harness.driver);
  const guest = await harness.driver.guestAgent!.guest(vm);
  return { ...harness, vm, guest, run: (...argv) => guest.exec({ argv, input: '' }).result };
}

const text = async (result: Promise<ExecResult>): Promise<string> => (await result).stdout.toString();

describe('default commands', () => {
  test.each([
    [['true'], 0, ''],
    [['false'], 1, ''],
    [['/bin/echo', 'a b', 'c'], 0, 'a b c\n'],
    [['sh', '-c', 'exit 7'], 7, ''],
    [['/bin/sh', '-c', 'echo one two'], 0, 'one two\n'],
    [['sh', '-c', ''], 0, ''],
    [['uname'], 0, 'Linux\n'],
    [['uname', '-a'], 0, 'Linux microvm 6.1.0-in-memory #1 SMP x86_64 GNU/Linux\n'],
    [['hostname'], 0, 'microvm\n'],
    [['pwd'], 0, '/\n'],
  ] as [[string, ...string[]], number, string][])('%j', async (argv, exitCode, stdout) => {
    const { run } = await talk();
    const result = await run(...argv);
    expect([result.exitCode, result.stdout.toString()]).toEqual([exitCode, stdout]);
  });

  test('a shell says what it cannot run', async () => {
    const { run } = await talk();
    const problems = ['if true', 'no-such-program', 'echo ${x[1]}', 'cat <(true)', 'echo $((1 / 0))'];
    for (const line of problems) {
      const { exitCode, stderr } = await run('sh', '-c', line);
      expect(exitCode).toBeGreaterThan(1);
      expect(stderr.toString()).toMatch(/^sh: /);
    }
  });

  test('a program that no guest has does not start', async () => {
    const { run } = await talk();
    for (const program of ['/no/such', 'constructor']) {
      await expect(run(program)).rejects.toMatchObject({
        code: 'MICROVM_EXEC_FAILED',
        details: { program, errno: 'ENOENT' },
      });
    }
  });

  test('cat gives its input back, and files of the root disk', async () => {
    const { guest, run } = await talk();
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index & 0xff));
    expect((await guest.exec({ argv: ['cat'], input: bytes }).result).stdout.equals(bytes)).toBe(true);
    await guest.exec({ argv: ['tee', '/note'], input: 'kept' }).result;
    expect(await text(run('cat', '/note'))).toBe('kept');
    expect(await run('cat', '/none')).toMatchObject({ exitCode: 1 });
    expect(await run('rm', '/note')).toMatchObject({ exitCode: 0 });
    expect(await run('cat', '/note')).toMatchObject({ exitCode: 1 });
  });

  test('sleep takes its time on the clock', async () => {
    const clock = createVirtualClock();
    const { guest } = await talk({}, { clock });
    let result: ExecResult | undefined;
    const sleeping = guest.exec({ argv: ['sleep', '1.5'] }).result.then((value) => (result = value));
    await clock.advance(1499);
    expect(result).toBeUndefined();
    await clock.advance(1);
    expect((await sleeping).exitCode).toBe(0);
    expect(await text(guest.exec({ argv: ['date'] }).result)).toBe('2026-01-01T00:00:01.500Z\n');
  });

  test('counter counts in guest memory, which a snapshot carries', async () => {
    const { driver, vm, run } = await talk();
    expect([await text(run('counter')), await text(run('counter'))]).toEqual(['1\n', '2\n']);
    const clone = makeVm(driver);
    await driver.snapshots!.restore(clone, await snapshotOf(driver, vm), makeRun());
    await driver.pausing!.resume(clone, 'restore', makeRun());
    expect(await text(run('counter'))).toBe('3\n');
    const inClone = await driver.guestAgent!.guest(clone);
    expect(await text(inClone.exec({ argv: ['counter'] }).result)).toBe('3\n');
    expect(await text(run('counter'))).toBe('4\n');
  });

  test.each([
    ['poweroff', 'power-off'],
    ['reboot', 'reboot'],
  ] as const)('%s ends the guest, and the command with it', async (program, reason) => {
    const { run, ended } = await talk();
    await expect(run(program)).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    expect(ended).toMatchObject([{ ending: { reason } }]);
  });
});

describe('scripts', () => {
  test('a script runs its own commands and leaves the rest to the default ones', async () => {
    const { run } = await talk({
      exec(command, guest) {
        if (command.argv[0] !== 'remember') return undefined;
        guest.memory['it'] = command.argv[1] ?? null;
        return 5;
      },
    });
    expect((await run('remember', 'me')).exitCode).toBe(5);
    expect(await text(run('echo', 'hi'))).toBe('hi\n');
  });

  test('errors of a script: an errno fails the start, any other one is the result’s very own', async () => {
    const mistake = new TypeError('went wrong');
    const { run } = await talk({
      exec({ argv }) {
        if (argv[0] === 'denied') throw new ScriptedErrno('EACCES');
        throw mistake;
      },
    });
    await expect(run('denied')).rejects.toMatchObject({ details: { errno: 'EACCES' } });
    const thrown = await run('anything').catch((error: unknown) => error);
    expect(thrown).toBe(mistake);
  });

  test('a command that is killed ends by its signal, and its script is told', async () => {
    const reasons: unknown[] = [];
    const { guest } = await talk({
      exec: ({ signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            reasons.push(signal.reason);
            resolve(0);
          });
        }),
    });
    const process = guest.exec({ argv: ['forever'] });
    await process.kill('SIGTERM');
    expect(await process.result).toMatchObject({ exitCode: null, signal: 'SIGTERM' });
    expect(reasons).toEqual(['SIGTERM']);
  });

  test('a script can write to the console', async () => {
    const { run, driver, vm } = await talk({
      exec(_command, guest) {
        guest.console('hello from the guest\n');
        return 0;
      },
    });
    await run('speak');
    const chunks: Buffer[] = [];
    for await (const chunk of driver.console!.read(vm, { tailBytes: 21 })) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe('hello from the guest\n');
  });
});

describe('reaching the guest', () => {
  test('a ping says who is there', async () => {
    const { guest } = await talk();
    expect(await guest.ping()).toMatchObject({ epoch: 1, kernelRelease: '6.1.0-in-memory' });
  });

  test('callers share one agent; a guest that nobody reaches has none', async () => {
    const { driver, vm, guest } = await talk();
    expect(await driver.guestAgent!.guest(vm)).toBe(guest);
  });

  test('nothing answers while the VM is paused; afterwards the conversation goes on', async () => {
    const { driver, vm, guest } = await talk();
    await driver.pausing!.pause(vm, makeRun());
    let answered = false;
    const pinging = guest.ping().then(() => (answered = true));
    for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    await driver.pausing!.resume(vm, 'pause', makeRun());
    await pinging;
  });

  test('a guest that ends takes its agent and its commands along', async () => {
    const { driver, vm, guest, breaches } = await talk();
    const command = guest.exec({ argv: ['cat'] });
    await guest.ping();
    driver.endGuest(vm.instanceId, { reason: 'vmm-exit', signal: 'SIGKILL' });
    await expect(command.result).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    await expect(guest.ping()).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    await driver.halt(vm);
    await driver.boot(vm, makeRun());
    await (await driver.guestAgent!.guest(vm)).ping();
    expect(breaches).toEqual([]);
  });

  test('a guest that does not run, or has no agent, cannot be reached', async () => {
    const { driver, vm } = await talk();
    await driver.pausing!.pause(vm, makeRun());
    await expect(driver.guestAgent!.guest(vm)).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    const silent = await runningVm(driver, { agent: 'none' });
    await expect(driver.guestAgent!.guest(silent)).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
    });
    await expect(driver.guestAgent!.guest(makeVm(driver))).rejects.toMatchObject({
      code: 'MICROVM_GUEST_UNREACHABLE',
    });
  });

  test('after a lost connection the next caller gets a new one, to the same guest', async () => {
    const { driver, vm, guest, run } = await talk();
    await run('counter');
    (guest as unknown as { close(reason: string): void }).close('test');
    await expect(guest.ping()).rejects.toMatchObject({ code: 'MICROVM_GUEST_UNREACHABLE' });
    const next = await driver.guestAgent!.guest(vm);
    expect(await text(next.exec({ argv: ['counter'] }).result)).toBe('2\n');
  });
});
