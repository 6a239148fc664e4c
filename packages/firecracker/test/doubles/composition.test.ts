import { statSync } from 'node:fs';
import { outputOf } from '@microvm/conformance/linux-guest';
import type { VmSpec } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { openDoubles } from './doubles.js';

/** What can be switched on and off, per provider (as a default) and per VM. */
const SWITCHES: Readonly<Record<string, readonly [on: VmSpec, off: VmSpec]>> = {
  jail: [{ jail: true }, { jail: false }],
  agent: [{ agent: 'required' }, { agent: 'none' }],
  vsock: [{ vsock: { guestCid: 42 } }, {}],
  console: [{ console: true }, { console: false }],
  'graceful shutdown': [{ shutdownTimeoutMs: 10_000 }, { shutdownTimeoutMs: 0 }],
  'owner death': [{ onOwnerDeath: 'destroy' }, { onOwnerDeath: 'keep' }],
};

const names = Object.keys(SWITCHES);
const pairs = names.flatMap((one, index) => names.slice(index + 1).map((other) => [one, other] as const));

describe('switches', () => {
  it.each(pairs)('%s and %s work in each of their four combinations', async (one, other) => {
    // As the provider's default, and as the VM's own: which of them says it makes no difference.
    for (const first of SWITCHES[one] ?? []) {
      await using runtime = await openDoubles({ defaults: first });
      for (const [index, second] of (SWITCHES[other] ?? []).entries()) {
        const vmId = `vm-${index}`;
        await runtime.createVmWithSpec(vmId, second);
        const { spec } = await runtime.startVm(vmId);
        expect(spec).toMatchObject({ ...first, ...second });
        const { uid } = processOf((await runtime.getVm(vmId))?.vmm?.pid ?? 0);
        expect(uid === process.getuid?.()).toBe(spec.jail === false);
        if (spec.agent === 'required') {
          expect(await outputOf(await runtime.guest(vmId), 'echo hello')).toBe('hello');
        } else {
          await expect(runtime.guest(vmId)).rejects.toMatchObject({ code: 'MICROVM_UNSUPPORTED' });
        }
        const stopped = await runtime.stopVm(vmId);
        // Without an agent that we know the guest listens to Ctrl-Alt-Del all the same; whether it has
        // flushed its console tells.
        const hasFlushed = spec.shutdownTimeoutMs > 0;
        const isKnown = spec.agent === 'required' || spec.console;
        expect(stopped.stop).toBe(hasFlushed && isKnown ? 'graceful' : 'forced');
        let console = '';
        for await (const chunk of runtime.consoleVm(vmId)) console += chunk.toString();
        expect(console.includes('farewell')).toBe(spec.console && hasFlushed);
        if (!spec.console) expect(console).toBe('');
        expect(await runtime.destroyVm(vmId)).toMatchObject({ state: 'destroyed' });
      }
    }
  });
});

function processOf(pid: number): { readonly uid: number } {
  return { uid: statSync(`/proc/${pid}`).uid };
}
