import type { VmState } from '../contract/states.js';
import type { VmEnding, VmView } from '../contract/views.js';

/** The state that an ending leads to, and whether the guest flushed. */
export function stateAfter(ending: VmEnding): { state: VmState; stop?: NonNullable<VmView['stop']> } {
  switch (ending.reason) {
    case 'power-off':
    case 'reboot':
    case 'shutdown':
      return { state: 'stopped', stop: 'graceful' };
    case 'killed':
      return { state: 'stopped', stop: 'forced' };
    case 'panic':
    case 'vmm-exit':
    case 'lost':
    case 'unresponsive':
      return { state: 'crashed' };
  }
}

/** An ending of which nothing more is known than its reason. */
export function endingOf(reason: VmEnding['reason']): VmEnding {
  return { reason, exitCode: 'unknown', signal: null, lastLogLines: [] };
}
