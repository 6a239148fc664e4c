import { signalNumber } from '@microvm/runtime';
import type { CommandEnd } from '../guest/guest-script.js';

/** What `$?` says of an end. */
export function statusOf(end: CommandEnd): number {
  return typeof end === 'number' ? end & 0xff : 128 + (signalNumber(end.signal) ?? 9);
}
