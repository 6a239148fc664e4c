export type { FaultAct, FaultRule } from './faults.js';
export { faultyFirecracker, writeFaults } from './faults.js';
export { countByReading, PANIC_COMMAND } from './guest-commands.js';
export { fakeFirecrackerPath, fakeJailerPath } from './programs.js';
