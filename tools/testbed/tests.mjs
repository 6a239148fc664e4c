import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../setup/run.mjs';

/** Where the checkout lies in the testbed. */
const CHECKOUT = '/checkout';

/**
 * Test files as modules that plain Node runs in the testbed: transformed and bundled here, at the host's
 * speed. vitest itself, which starts a server that transforms each module on demand, was not done with one
 * suite there in nine minutes. Returns the names of the modules, in the order of the files, after that of the
 * runner.
 *
 * @param {readonly string[]} files paths of test files
 */
export async function bundleTests(files, outdir) {
  // This module is loaded before the npm packages are installed.
  const { build } = await import('esbuild');
  const entries = [join(import.meta.dirname, 'runner', 'main.mjs'), ...files];
  const named = entries.map((path, index) => ({ in: path, out: index === 0 ? 'runner' : `test-${index}` }));
  await build({
    entryPoints: named,
    outdir,
    bundle: true,
    // One instance of vitest and of our packages for the runner and all files.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    outExtension: { '.js': '.mjs' },
    sourcemap: 'linked',
    sourcesContent: false,
    conditions: ['@microvm/source', 'module', 'node'],
    // They look for their own files.
    external: ['node-gyp-build', 'esbuild', 'tsx'],
    banner: { js: REQUIRE },
    plugins: [ownUrls],
    logLevel: 'silent',
    absWorkingDir: ROOT,
    // For test files outside the repository.
    nodePaths: [join(ROOT, 'node_modules')],
  });
  return named.map(({ out }) => `${out}.mjs`);
}

// Bundled CommonJS modules ask for Node's own ones by `require`.
const REQUIRE = `import { createRequire as testbedCreateRequire } from 'node:module'; const require = testbedCreateRequire(import.meta.url);`;

/**
 * A module that looks for files beside itself finds them where it lies in the testbed's checkout, not where
 * its bundle lies.
 */
const ownUrls = {
  name: 'own-urls',
  setup({ onLoad }) {
    onLoad({ filter: /\.(ts|js|mjs)$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      if (!text.includes('import.meta')) return undefined;
      const file = join(CHECKOUT, relative(ROOT, path));
      const contents = text
        .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(file).href))
        .replaceAll('import.meta.dirname', JSON.stringify(join(file, '..')))
        .replaceAll('import.meta.filename', JSON.stringify(file));
      return { contents, loader: path.endsWith('.ts') ? 'ts' : 'js' };
    });
  },
};
