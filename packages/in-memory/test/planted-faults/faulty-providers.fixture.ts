// Not a test of its own: `planted-faults.test.ts` runs it and expects its failures.
import { describeCrashes, describeProvider } from '@microvm/conformance';
import { inMemoryProvider } from '../in-memory-provider.js';
import { crashProvider } from './crash-provider.js';
import { distortingProvider } from './faulty-runtime.js';
import { LACKING, NO_FAULT, PLANTED_CRASH_FAULTS, PLANTED_FAULTS } from './planted-faults.js';

const good = inMemoryProvider({ durable: true });
const capabilities = { pause: false, rename: false, spec: { jail: false } };

describeProvider(NO_FAULT, distortingProvider(good));
describeProvider(LACKING, distortingProvider(inMemoryProvider({ durable: true, capabilities })));
for (const { fault, plant } of PLANTED_FAULTS) {
  // Tests that hang by their fault are to be given up sooner than honest ones.
  describeProvider(fault, { ...plant(good), deadlineFactor: 0.3 });
}

describeCrashes(NO_FAULT, distortingProvider(crashProvider()));
for (const { fault, plant } of PLANTED_CRASH_FAULTS) describeCrashes(fault, plant(crashProvider()));
