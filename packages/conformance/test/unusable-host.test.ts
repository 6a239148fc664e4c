import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startVitest } from 'vitest/node';

interface Outcome {
  readonly title: string;
  readonly state: string;
}

/** Runs the fixture; answers its tests and what it said aloud. */
async function run(env: Record<string, string>): Promise<{ tests: Outcome[]; said: string }> {
  const before = process.exitCode;
  let said = '';
  const vitest = await startVitest(
    'test',
    [],
    {
      root: fileURLToPath(new URL('.', import.meta.url)),
      config: false,
      watch: false,
      include: ['unusable.fixture.ts'],
      reporters: [{ onUserConsoleLog: (log) => void (said += log.content) }],
      env,
    },
    { ssr: { resolve: { conditions: ['@microvm/source', 'module', 'node', 'development|production'] } } },
  );
  const tests = vitest.state
    .getTestModules()
    .flatMap((module) => [...module.children.allTests()])
    .map((one) => ({ title: one.fullName, state: one.result().state }));
  await vitest.close();
  // Failures are what the run is for.
  process.exitCode = before;
  return { tests, said };
}

const BY_PROBE = 'by its probe > runs on this host: no-vmm: there is no VMM';
const BY_REFUSAL = 'by its refusal > runs on this host: this host has no VMM';

test('a host that cannot run the provider skips its suite, and says why', async () => {
  const { tests, said } = await run({ MICROVM_REQUIRE_KVM: '' });
  expect(tests).toEqual([
    { title: BY_PROBE, state: 'skipped' },
    { title: BY_REFUSAL, state: 'skipped' },
  ]);
  expect(said).toContain('by its probe: skipped, this host cannot run it: no-vmm: there is no VMM');
  expect(said).not.toContain('swap');
}, 60_000);

test('with MICROVM_REQUIRE_KVM=1 such a host is a failure', async () => {
  const { tests } = await run({ MICROVM_REQUIRE_KVM: '1' });
  expect(tests).toEqual([
    { title: BY_PROBE, state: 'failed' },
    { title: BY_REFUSAL, state: 'failed' },
  ]);
}, 60_000);
