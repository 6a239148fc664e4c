import type { VmEnding } from '@microvm/runtime';

/** An end that a guest or its VMM comes to by itself. */
export type GuestEnd =
  | { readonly reason: 'power-off' | 'reboot' }
  | { readonly reason: 'panic'; readonly message?: string }
  | { readonly reason: 'vmm-exit'; readonly signal: string };

/** What a guest that ends so writes to its console last. */
export function lastWords(end: GuestEnd): string {
  switch (end.reason) {
    case 'power-off':
    case 'reboot':
      return `microvm-agent: farewell ${end.reason}\n`;
    case 'panic':
      return `Kernel panic - not syncing: ${end.message ?? 'sysrq triggered crash'}\n`;
    case 'vmm-exit':
      return '';
  }
}

/** The ending as a driver tells of it, but for the log. */
export function endingFacts(end: GuestEnd): Omit<VmEnding, 'lastLogLines'> {
  if (end.reason === 'vmm-exit') return { reason: end.reason, exitCode: null, signal: end.signal };
  return { reason: end.reason, exitCode: end.reason === 'panic' ? 1 : 0, signal: null };
}
