import * as fc from 'fast-check';
import { describe, it } from 'vitest';
import { steps } from './protocol-model/calls.js';
import { GuestModel } from './protocol-model/model.js';
import { RealGuest } from './protocol-model/real-guest.js';
import { whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the protocol against its model: ${problem}`);

/** `npm run long -- protocol-model` gives an hour, in parts; else it is as many runs as take some seconds. */
const PART_MINUTES = 5;
const minutes = Number(process.env['MICROVM_PROTOCOL_MODEL_MINUTES'] ?? 0);
const parts = Array.from({ length: Math.max(1, Math.ceil(minutes / PART_MINUTES)) }, (_, part) => part + 1);
const HOW_MUCH =
  minutes === 0
    ? { numRuns: 25 }
    : {
        numRuns: 1_000_000,
        interruptAfterTimeLimit: Math.min(minutes, PART_MINUTES) * 60_000,
        markInterruptAsFailure: false,
      };

const doesAsItsModel = fc.asyncProperty(steps, async (run) => {
  const model = new GuestModel();
  const real = await RealGuest.begin();
  try {
    for (const step of run) await step.run(model, real);
    await real.settle();
  } finally {
    await real.end();
  }
});

describe.skipIf(problem !== undefined)('the protocol, by the real agent and its client', () => {
  it.each(parts)('does what its model does, wherever the channel is cut (part %d)', async () => {
    await fc.assert(doesAsItsModel, { ...HOW_MUCH, endOnFailure: true });
  });
});
