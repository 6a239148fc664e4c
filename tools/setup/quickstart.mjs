import { join } from 'node:path';
import { main, ROOT, spawnInherited } from './run.mjs';
import { setup } from './setup.mjs';

await main(async () => {
  await setup();
  const script = join(ROOT, 'tools', 'quickstart', 'dist', 'main.js');
  return spawnInherited(process.execPath, [script, ...process.argv.slice(2)]);
});
