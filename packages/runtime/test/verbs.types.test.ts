import { describe, expect, expectTypeOf, it } from 'vitest';
import { VERBS } from '../src/engine/verbs.js';
import type { Verb } from '../src/engine/verb.js';
import {
  TRANSITIONS,
  type JobKind,
  type SnapshotView,
  type VerbAnswer,
  type VerbCall,
  type VmRuntime,
  type VmView,
} from '../src/index.js';

describe('a kind of job', () => {
  it('has a module, or the engine does not compile', () => {
    const { rebootVm: _module, ...others } = VERBS;
    // @ts-expect-error a kind without a module
    const incomplete: { readonly [K in JobKind]: Verb<K> } = others;
    // @ts-expect-error the module of another kind
    const mixed: { readonly [K in JobKind]: Verb<K> } = { ...VERBS, stopVm: VERBS.pauseVm };
    expect([incomplete, mixed]).toHaveLength(2);
  });

  it('has its row in the table of states when it changes a VM that is there', () => {
    const { forgetVm: _row, ...others } = TRANSITIONS;
    // @ts-expect-error a verb without transitions
    const incomplete: typeof TRANSITIONS = others;
    expect(Object.keys(incomplete)).not.toContain('forgetVm');
  });
});

describe('a call as data', () => {
  it('is typed by its verb', () => {
    expectTypeOf<VerbAnswer<'pauseVm'>>().toEqualTypeOf<VmView>();
    expectTypeOf<VerbAnswer<'snapshotVm'>>().toEqualTypeOf<SnapshotView>();
    const call = (runtime: VmRuntime): Promise<VmView> =>
      runtime.dispatch({ verb: 'startVm', args: { vmId: 'a' } });
    expectTypeOf(call).returns.resolves.toEqualTypeOf<VmView>();
    // @ts-expect-error an argument that the verb does not take
    const wrong: VerbCall<'startVm'> = { verb: 'startVm', args: { vmId: 'a', snapshotId: 's' } };
    // @ts-expect-error the runtime's own jobs cannot be called
    const own: VerbCall = { verb: 'observeVm', args: { instanceId: '' } };
    expect([wrong, own]).toHaveLength(2);
  });
});
