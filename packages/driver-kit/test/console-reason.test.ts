import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { reasonFromConsole } from '../src/console/console-reason.js';

describe('reasonFromConsole', () => {
  it('is the last that the agent or the kernel said', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kit-reason-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    expect(await reasonFromConsole(folder)).toBeUndefined();
    const path = join(folder, 'console.log');
    await writeFile(
      path,
      'microvm-agent: farewell reboot\nLinux version 6.1\nmicrovm-agent: farewell power-off\n',
    );
    expect(await reasonFromConsole(folder)).toBe('power-off');
    await writeFile(
      path,
      'microvm-agent: farewell shutdown\nLinux version 6.1\n[ 1.0] Kernel panic - not syncing: x\n trace\n',
    );
    expect(await reasonFromConsole(folder)).toBe('panic');
  });

  it('is nothing that was said before the last boot', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kit-reason-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const lines = ['microvm-agent: farewell reboot', '[    0.000000] Linux version 6.1.0', 'poweroff -f'];
    await writeFile(join(folder, 'console.log'), lines.join('\r\n'));
    expect(await reasonFromConsole(folder)).toBeUndefined();
  });

  it('is nothing that was said before the life began, though its kernel is quiet', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'kit-reason-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const earlier = 'microvm-agent: farewell reboot\n';
    await writeFile(join(folder, 'console.log'), `${earlier}login:`);
    expect(await reasonFromConsole(folder)).toBe('reboot');
    expect(await reasonFromConsole(folder, earlier.length)).toBeUndefined();
  });
});
