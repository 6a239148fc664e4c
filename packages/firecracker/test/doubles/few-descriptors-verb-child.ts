import { runFewDescriptorsChild } from '@microvm/conformance/few-descriptors-child';
import { processIdentity } from '@microvm/native';
import type { VmRuntime, VmSpec, VmState, VmView } from '@microvm/runtime';
import { createFirecrackerRuntime } from '../../src/index.js';
import { imageDefaults } from '../factory.js';
import { DOUBLES } from './doubles-only.js';

interface Trial {
  /** What the VM `a` is before each call; undefined: it is not there. */
  readonly from?: Extract<VmState, 'created' | 'running' | 'paused'>;
  act(runtime: VmRuntime, owned?: VmSpec): Promise<unknown>;
}

const GOLDEN = { vmId: 'golden', snapshotId: 's' };
/** The first such VM starts the watcher, which needs descriptors too. */
const OWNED: VmSpec = { onOwnerDeath: 'destroy' };

const TRIALS: Readonly<Record<string, Trial>> = {
  create: { act: (runtime, owned) => runtime.createVmWithSpec('a', { ...owned }) },
  restore: { act: (runtime, owned) => runtime.createVmWithSpec('a', { ...owned, restoreFrom: GOLDEN }) },
  start: { from: 'created', act: (runtime) => runtime.startVm('a') },
  guest: { from: 'running', act: async (runtime) => (await runtime.guest('a')).ping() },
  pause: { from: 'running', act: (runtime) => runtime.pauseVm('a') },
  resume: { from: 'paused', act: (runtime) => runtime.resumeVm('a') },
  snapshot: { from: 'running', act: (runtime) => runtime.snapshotVm('a', 's') },
  stop: { from: 'running', act: (runtime) => runtime.stopVm('a') },
  destroy: { from: 'running', act: (runtime) => runtime.destroyVm('a') },
};

const [name = '', stateDir = '', jail] = process.argv.slice(2);
const trial = TRIALS[name];
if (trial === undefined) throw new Error(`there is no trial "${name}"`);
const defaults = { ...(await imageDefaults()), jail: jail === 'true' };
const runtime = await createFirecrackerRuntime({ ...DOUBLES, stateDir, defaults });
let before: VmView | undefined;

async function arrange(): Promise<void> {
  const left = await runtime.getVm('a');
  if (left !== undefined && left.state !== 'destroyed') await runtime.destroyVm('a');
  before = undefined;
  if (trial?.from === undefined) return;
  before = await runtime.createVm('a');
  if (trial.from === 'created') return;
  before = await runtime.startVm('a');
  if (trial.from === 'paused') before = await runtime.pauseVm('a');
}

await runFewDescriptorsChild({
  async prepare() {
    await runtime.createVm('golden');
    await runtime.startVm('golden');
    await runtime.snapshotVm('golden', 's');
    await runtime.stopVm('golden');
    for (const one of Object.values(TRIALS)) {
      if (one.from !== trial.from) continue;
      await arrange();
      await one.act(runtime);
    }
  },
  arrange,
  act: () => trial.act(runtime, OWNED),
  async look() {
    const pid = before?.vmm?.pid;
    return {
      state: (await runtime.getVm('a'))?.state ?? 'gone',
      vmm: pid === undefined ? 'none' : processIdentity(pid) === undefined ? 'ended' : 'alive',
    };
  },
  async finish() {
    const view = await runtime.getVm('a');
    for (const { vmId, state } of await runtime.listVms())
      if (state !== 'destroyed') await runtime.destroyVm(vmId);
    await runtime.close();
    return view?.state ?? 'gone';
  },
});
