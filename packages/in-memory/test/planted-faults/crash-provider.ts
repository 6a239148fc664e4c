import { fileURLToPath } from 'node:url';
import type { ProviderFactory } from '@microvm/conformance';
import { inMemoryProvider } from '../in-memory-provider.js';

/** The in-memory provider, with a child module that runs its sources. */
export function crashProvider(): ProviderFactory {
  return {
    ...inMemoryProvider({ durable: true }),
    childModule: {
      path: fileURLToPath(new URL('./crash-child.ts', import.meta.url)),
      execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
    },
  };
}
