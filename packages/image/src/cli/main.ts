#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { isVmRuntimeError } from '@microvm/runtime';
import { ensureDefaultImage } from '../default/default-image.js';
import { createProgressBar } from './progress-bar.js';

const HELP = `Usage: microvm-image [--cache-dir DIR] [--refresh] [--quiet]

Makes the default guest image, or finds it in the cache, and prints what and where it is as JSON.

  --cache-dir DIR  folder of the cache (default: $MICROVM_CACHE_DIR, $XDG_CACHE_HOME/microvm, ~/.cache/microvm)
  --refresh        look for newer Debian packages even though the image is cached
  --quiet          print no JSON
  --help           this text
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      'cache-dir': { type: 'string' },
      refresh: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => abort.abort(new Error(`interrupted by ${signal}`)));
  }
  const bar = createProgressBar(process.stderr);
  try {
    const image = await ensureDefaultImage({
      cacheDir: values['cache-dir'],
      refresh: values.refresh,
      onProgress: bar.update,
      signal: abort.signal,
    });
    if (!values.quiet) process.stdout.write(`${JSON.stringify(image, null, 2)}\n`);
  } finally {
    bar.stop();
  }
}

try {
  await main();
} catch (error) {
  const text = error instanceof Error ? error.message : String(error);
  const remedy = isVmRuntimeError(error) ? `\nwhat to do: ${error.remedy}` : '';
  process.stderr.write(`microvm-image: ${text}${remedy}\n`);
  process.exitCode = 1;
}
