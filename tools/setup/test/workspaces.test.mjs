import { expect, test } from 'vitest';
import { withDependencies, workspaceManifests } from '../workspaces.mjs';

test('the quickstart is built without the packages that only tests and measurements use', async () => {
  const names = withDependencies('@microvm/quickstart', await workspaceManifests());
  expect(names).toEqual(expect.arrayContaining(['@microvm/native', '@microvm/sdk', '@microvm/qemu']));
  for (const name of ['fake-firecracker', 'volatile-disk', 'conformance', 'bench'])
    expect(names).not.toContain(`@microvm/${name}`);
});
