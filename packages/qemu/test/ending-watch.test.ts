import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ProcessExit } from '@microvm/native';
import { describe, expect, it, onTestFinished } from 'vitest';
import { EndingWatch } from '../src/vm/ending-watch.js';

interface Fixture {
  readonly watch: EndingWatch;
  readonly exit: (exit: ProcessExit) => void;
}

async function makeWatch(console = ''): Promise<Fixture> {
  const folder = await mkdtemp(join(tmpdir(), 'qemu-ending-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'console.log'), console);
  let exit: (exit: ProcessExit) => void = () => {};
  const exited = new Promise<ProcessExit>((resolve) => (exit = resolve));
  return { watch: new EndingWatch(folder, exited), exit };
}

const shutdown = (reason: string) => ({ name: 'SHUTDOWN', data: { guest: true, reason } });

describe('EndingWatch', () => {
  it.each([
    ['power-off', shutdown('guest-shutdown'), ''],
    ['reboot', shutdown('guest-reset'), 'microvm-agent: farewell reboot\r\n'],
    ['panic', shutdown('guest-reset'), 'Kernel panic - not syncing: no pvpanic module\r\n'],
    ['reboot', shutdown('guest-reset'), 'Kernel panic - not syncing\r\nmicrovm-agent: farewell reboot\r\n'],
    ['panic', { name: 'GUEST_PANICKED', data: { action: 'pause' } }, ''],
    ['panic', shutdown('guest-panic'), ''],
  ])('calls it %s after %j', async (reason, event, console) => {
    const { watch } = await makeWatch(console);
    watch.observe(event);
    expect(watch.hasEnded).toBe(true);
    expect(await watch.ended).toMatchObject({ reason, exitCode: null, signal: null });
  });

  it('calls it vmm-exit when the process ends without a word of the guest', async () => {
    const { watch, exit } = await makeWatch('the last line\r\n');
    exit({ exitCode: null, signal: 'SIGKILL' });
    expect(await watch.ended).toEqual({
      reason: 'vmm-exit',
      exitCode: null,
      signal: 'SIGKILL',
      lastLogLines: ['the last line'],
    });
  });

  it('takes the first reason, whatever comes later', async () => {
    const { watch, exit } = await makeWatch();
    watch.observe({ name: 'GUEST_PANICKED', data: {} });
    watch.observe(shutdown('guest-shutdown'));
    exit({ exitCode: 0, signal: null });
    expect((await watch.ended).reason).toBe('panic');
  });

  it.each([
    { name: 'STOP', data: {} },
    { name: 'SHUTDOWN', data: { guest: false, reason: 'host-qmp-quit' } },
    { name: 'SHUTDOWN', data: { guest: false, reason: 'host-signal' } },
  ])('does not take %j for an end of the guest', async (event) => {
    const { watch } = await makeWatch();
    watch.observe(event);
    expect(watch.hasEnded).toBe(false);
  });
});
