import { execFileSync } from 'node:child_process';

// A host that mounts its disk and stays.
process.once('disconnect', () => process.exit(1));
process.once('message', ({ device, folder }) => {
  execFileSync('mount', [device, folder]);
  process.send('mounted');
});
