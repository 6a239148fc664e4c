import { createInMemoryRuntime } from '@microvm/in-memory';
import type { VmRuntime } from '@microvm/runtime';
import { onTestFinished } from 'vitest';
import { createMicrovm, type Microvm } from '../src/index.js';

type InMemoryOptions = NonNullable<Parameters<typeof createInMemoryRuntime>[0]>;

/** microVMs without a guest kernel, for one test. */
export async function memoryMicrovm(
  options: InMemoryOptions = {},
): Promise<{ readonly microvm: Microvm; readonly runtime: VmRuntime }> {
  const runtime = await createInMemoryRuntime(options);
  onTestFinished(() => runtime.close());
  return { microvm: createMicrovm({ runtime }), runtime };
}
