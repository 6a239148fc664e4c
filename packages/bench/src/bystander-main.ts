import { LoopDelay } from './loop-delay.js';

// A process that does nothing but look at its own event loop, while another one works: what the machine alone
// makes it wait.
const delay = new LoopDelay();
process.once('message', () => process.send?.(delay.end(), undefined, undefined, () => process.disconnect()));
process.send?.('ready');
