import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { createVirtualClock, ScriptedErrno, type GuestScript } from '../../src/index.js';
import { makeRun, openDriver, runningVm } from '../driver-harness.js';
import { lines, shellGuest } from './shell-guest.js';

const sh = (line: string): [string, ...string[]] => ['sh', '-c', line];

describe('a shell streams', () => {
  test('output comes while the command runs, and what was read is kept when its time is up', async () => {
    const guest = await shellGuest();
    const command = guest.exec({ argv: sh('echo begun; cat; echo over') });
    const seen: string[] = [];
    for await (const { data } of command) {
      seen.push(data.toString());
      if (seen.length === 1) command.stdin.end('typed\n');
    }
    expect(seen.join('')).toBe('begun\ntyped\nover\n');
    const late = guest.exec({ argv: sh('echo begun; sleep 1000'), timeoutMs: 200 }).result;
    await expect(late).rejects.toMatchObject({
      code: 'MICROVM_TIMEOUT',
      result: { stdout: Buffer.from('begun\n') },
    });
  });

  test('a pipe has both of its ends at work at once', async () => {
    const guest = await shellGuest();
    const command = guest.exec({ argv: sh('while read x; do echo "<$x>"; done | cat') });
    const seen: string[] = [];
    command.stdin.write('one\n');
    for await (const { data } of command) {
      seen.push(data.toString());
      if (seen.length === 1) command.stdin.end('two\n');
    }
    expect(seen.join('')).toBe('<one>\n<two>\n');
  });

  test('a reader that does not read holds the writer up, and nothing is lost', async () => {
    const guest = await shellGuest();
    const command = guest.exec({ argv: sh('seq 200000 | tee /copy | cat'), input: '' });
    for (let turn = 0; turn < 50; turn += 1) await setImmediate();
    const written = Number((await lines(guest, 'wc -c < /copy')).trim());
    expect(written).toBeLessThan(1_000_000);
    let size = 0;
    for await (const { data } of command) size += data.length;
    expect(size).toBe(1_288_895);
    expect(await lines(guest, 'wc -c < /copy')).toBe('1288895\n');
  });
});

describe('a command that is killed stops', () => {
  test.each([
    'while :; do :; done',
    'f() { while true; do x=$((x + 1)); done; }; f',
    'yes > /dev/null',
    'cat /dev/zero | tr x y > /dev/null',
    'for i in 1 2 3; do sleep 1000; done',
    '(while :; do echo x; done) | cat > /dev/null & while :; do :; done',
    'seq 1000000000 | sort | tail -1',
  ])('%s', async (line) => {
    const guest = await shellGuest();
    const command = guest.exec({ argv: sh(`echo up; ${line}; touch /after`) });
    for await (const { data } of command) {
      expect(data.toString()).toBe('up\n');
      await command.kill('SIGKILL');
    }
    expect(await command.result).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    // Nothing of the command is at work any more: the event loop is idle, and its next line never ran.
    for (let turn = 0; turn < 20; turn += 1) await setImmediate();
    expect(await lines(guest, '[ -e /after ] || echo never')).toBe('never\n');
  });

  test('a loop holds nobody else up', async () => {
    const guest = await shellGuest();
    const loop = guest.exec({ argv: sh('while :; do :; done'), input: '' });
    expect(await lines(guest, 'echo served')).toBe('served\n');
    await loop.kill('SIGKILL');
    expect(await loop.result).toMatchObject({ signal: 'SIGKILL' });
  });

  test('a paused VM does not go on with a loop', async () => {
    const { driver, world } = await openDriver();
    const vm = await runningVm(driver);
    const guest = await driver.guestAgent!.guest(vm);
    const loop = guest.exec({ argv: sh('echo up; while :; do counter > /last; done'), input: '' });
    await loop[Symbol.asyncIterator]().next();
    await driver.pausing!.pause(vm, makeRun());
    const { memory } = world.vms.get(vm.instanceId)!;
    for (let turn = 0; turn < 5; turn += 1) await setImmediate();
    const before = memory['counter'];
    for (let turn = 0; turn < 50; turn += 1) await setImmediate();
    expect(memory['counter']).toBe(before);
    await driver.pausing!.resume(vm, 'pause', makeRun());
    await expect.poll(() => memory['counter']).not.toBe(before);
    await loop.kill('SIGKILL');
    await loop.result;
  });
});

describe('processes', () => {
  test('what is left in the background goes on, and its files are there', async () => {
    const clock = createVirtualClock();
    const guest = await shellGuest({}, { clock });
    expect(await lines(guest, '(sleep 5; echo done > /late) & echo $?')).toBe('0\n');
    expect(await lines(guest, 'cat /late 2>/dev/null || echo not yet')).toBe('not yet\n');
    await clock.advance(5_000);
    expect(await lines(guest, 'cat /late')).toBe('done\n');
  });

  test('there are only so many at once', async () => {
    const guest = await shellGuest();
    const output = await lines(
      guest,
      'i=0; while [ $i -lt 2000 ]; do sleep 1000 & i=$((i+1)); done; echo $i',
    );
    expect(output).toMatch(/can't fork/);
  });

  test('sleep and timeout take their time on the clock of the VM', async () => {
    const clock = createVirtualClock();
    const guest = await shellGuest({}, { clock });
    const running = lines(guest, 'timeout 10 sleep 100; echo $?; sleep 1; date +%s');
    await clock.advance(10_000);
    await clock.advance(1_000);
    expect(await running).toBe('124\n1767225611\n');
  });

  test('a user has its own files only, and its own folder', async () => {
    const guest = await shellGuest();
    const script =
      'echo $(id -u) $HOME; echo x > /tmp/own && ls -l /tmp/own | cut -c1-10; cat /root/x; touch /no';
    const { stdout, stderr } = await guest.exec({ argv: sh(script), user: 'nobody', input: '' }).result;
    expect(stdout.toString()).toBe('65534 /\n-rw-r--r--\n');
    expect(stderr.toString()).toMatch(/cat: \/root\/x: Permission denied\ntouch: \/no: Permission denied/);
    const inRoot = guest.exec({ argv: ['true'], user: 'nobody', cwd: '/root' }).result;
    await expect(inRoot).rejects.toMatchObject({ details: { step: 'cwd', errno: 'EACCES' } });
    const nowhere = guest.exec({ argv: ['true'], cwd: '/none' }).result;
    await expect(nowhere).rejects.toMatchObject({ details: { step: 'cwd', errno: 'ENOENT' } });
  });

  test('users are those of the guest’s own /etc/passwd', async () => {
    const guest = await shellGuest();
    await lines(guest, 'echo "app:x:1000:1000::/home/app:/bin/sh" >> /etc/passwd; mkdir /home/app');
    await lines(guest, 'echo "staff:x:50:app" >> /etc/group; chown app:1000 /home/app');
    const { stdout } = await guest.exec({ argv: sh('cd; pwd; id; touch f; stat -c %U f'), user: 'app' })
      .result;
    expect(stdout.toString()).toBe('/home/app\nuid=1000(app) gid=1000 groups=1000,50(staff)\napp\n');
  });

  test('a full disk and a missing folder are told by the program, and change nothing else', async () => {
    const guest = await shellGuest({}, { diskLimitBytes: 200_000 });
    expect(await lines(guest, 'yes > /big; echo $?; rm /big; echo x > /no/file; echo $?')).toBe(
      '1\n1\nyes: No space left on device\nsh: /no/file: No such file or directory\n',
    );
  });
});

describe('programs of a test', () => {
  const mistake = new TypeError('a mistake in the test');
  const script: GuestScript = {
    programs: {
      async upper({ stdin, stdout }) {
        for await (const bytes of stdin) await stdout(bytes.toString().toUpperCase());
        return 3;
      },
      '/opt/greet': async ({ argv, env, stdout }) => {
        await stdout(`${argv[1] ?? ''} ${env['WHO'] ?? ''}\n`);
        return 0;
      },
      broken() {
        throw mistake;
      },
      denied() {
        throw new ScriptedErrno('EACCES');
      },
      cat: async ({ stdout }) => {
        await stdout('not the guest’s own\n');
        return 0;
      },
    },
  };

  test('are found by name and by path, wherever they stand in a line', async () => {
    const guest = await shellGuest(script);
    expect(await lines(guest, 'echo one | upper | tr O 0; echo two | upper; echo $?')).toBe('0NE\nTWO\n3\n');
    expect(await lines(guest, 'WHO=world /opt/greet hello; x=$(echo a | upper); echo "[$x]"')).toBe(
      'hello world\n[A]\n',
    );
    expect(await lines(guest, 'cat /none; command -v upper')).toBe('not the guest’s own\nupper\n');
    expect((await guest.exec({ argv: ['upper'], input: 'x' }).result).exitCode).toBe(3);
  });

  test.each([
    'broken',
    'echo a | broken | cat',
    'echo $(broken)',
    'cat <<E\n$(broken)\nE',
    'if broken; then echo no; fi',
    'broken 2>/dev/null || true',
    'sleep 1000 | (broken; sleep 1000)',
    'echo x | xargs broken',
    'timeout 1000 broken',
    'broken & wait; sleep 1000',
  ])('an error of one of them is the result’s own: %s', async (line) => {
    const guest = await shellGuest(script);
    const thrown = await guest.exec({ argv: sh(line), input: '' }).result.catch((error: unknown) => error);
    expect(thrown).toBe(mistake);
  });

  test('one that cannot be started is the shell’s to tell', async () => {
    const guest = await shellGuest(script);
    expect(await lines(guest, 'denied; echo $?')).toBe('126\nsh: denied: Permission denied\n');
  });
});
