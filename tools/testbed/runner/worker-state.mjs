/**
 * What `vitest` expects to find when it is imported outside its own workers (as of 4.1). Imported before it.
 */
globalThis.__vitest_worker__ = {
  config: { expect: { poll: { timeout: 300_000 } }, snapshotOptions: {}, testTimeout: 0 },
  filepath: '',
  environment: { name: 'node' },
  evaluatedModules: { idToModuleMap: new Map() },
  resolvingModules: new Set(),
  providedContext: {},
};
