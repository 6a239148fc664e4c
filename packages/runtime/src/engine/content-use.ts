import type { EngineContext } from './engine-context.js';

/**
 * Removes files of the store that no VM and no snapshot refers to any more. What fails is left for the next
 * sweep.
 */
export async function sweepContent(context: EngineContext): Promise<void> {
  await context.content?.sweep(digestsInUse(context)).catch(() => undefined); // a file too many does no harm
}

function digestsInUse({ fleet, catalogue }: EngineContext): Set<string> {
  const inUse = new Set<string>();
  const add = (pinned: Readonly<Record<string, { readonly digest: string }>>): void => {
    for (const { digest } of Object.values(pinned)) inUse.add(digest);
  };
  for (const { record } of fleet.all()) if (record.state !== 'destroyed') add(record.pinned);
  for (const { pinned } of catalogue.all()) add(pinned);
  return inUse;
}
