import type { Guest } from '@microvm/runtime';
import type { GuestScript } from '../../src/index.js';
import { openDriver, runningVm } from '../driver-harness.js';

/** A running guest with a shell. */
export async function shellGuest(
  script: GuestScript = {},
  options: Parameters<typeof openDriver>[0] = {},
): Promise<Guest> {
  const { driver } = await openDriver({ guest: script, ...options });
  const { guestAgent } = driver;
  if (guestAgent === undefined) throw new Error('no agent');
  return guestAgent.guest(await runningVm(driver));
}

/** The output of a line of a shell, its errors behind it. */
export async function lines(guest: Guest, line: string, input = ''): Promise<string> {
  const { stdout, stderr } = await guest.exec({ argv: ['sh', '-c', line], input }).result;
  return `${stdout.toString()}${stderr.toString()}`;
}
