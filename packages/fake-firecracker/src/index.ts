export { countByReading } from './count-by-reading.js';
export type { FaultAct, FaultRule } from './faults.js';
export { faultyFirecracker, writeFaults } from './faults.js';
export { fakeFirecrackerPath, fakeJailerPath } from './programs.js';
