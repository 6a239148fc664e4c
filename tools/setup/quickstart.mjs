import { join } from 'node:path';
import { SETUP_REQUIREMENTS } from './requirements.mjs';
import { main, ROOT, spawnInherited } from './run.mjs';
import { setup } from './setup.mjs';
import { withDependencies, workspaceManifests } from './workspaces.mjs';

await main(async () => {
  await setup({
    requirements: SETUP_REQUIREMENTS,
    projects: withDependencies('@microvm/quickstart', await workspaceManifests()),
  });
  const script = join(ROOT, 'tools', 'quickstart', 'dist', 'main.js');
  return spawnInherited(process.execPath, [script, ...process.argv.slice(2)]);
});
