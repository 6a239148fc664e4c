import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './run.mjs';

/** Names of a package of ours and of all that it needs at run time, which leaves out what only tests need. */
export function withDependencies(name, manifests) {
  const found = new Set();
  const visit = (each) => {
    const manifest = manifests.get(each);
    if (manifest === undefined || found.has(each)) return;
    found.add(each);
    for (const dependency of Object.keys(manifest.dependencies ?? {})) visit(dependency);
  };
  visit(name);
  return [...found];
}

/** The package.json of each package of ours, by name. */
export async function workspaceManifests(root = ROOT) {
  const folders = ['native'];
  for (const parent of ['packages', 'tools', 'examples']) {
    for (const name of await readdir(join(root, parent))) folders.push(join(parent, name));
  }
  const texts = await Promise.all(
    folders.map((folder) => readFile(join(root, folder, 'package.json'), 'utf8').catch(() => undefined)),
  );
  const manifests = texts.filter((text) => text !== undefined).map((text) => JSON.parse(text));
  return new Map(manifests.map((manifest) => [manifest.name, manifest]));
}
