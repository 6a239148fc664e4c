import { duplexPair } from 'node:stream';
import { ScriptedAgent, ScriptedErrno } from '@microvm/guest';
import type { VmEnding } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AgentChannel } from '../src/guest/agent-channel.js';
import { askToHalt, SHUTDOWN_STEPS, type HaltableVm } from '../src/vm/ask-to-halt.js';
import { makeRun, makeVm } from './vm.js';

const ENDED: VmEnding = { reason: 'shutdown', exitCode: 0, signal: null, lastLogLines: [] };

/** A guest that halts by what it listens to; a deaf one does not. */
function makeGuest(
  listensTo: 'agent' | 'button' | 'nothing',
  agentSays: 'yes' | 'no' = 'no',
): { live: HaltableVm; log: string[] } {
  const log: string[] = [];
  let end: (ending: VmEnding) => void = () => {};
  const ended = new Promise<VmEnding>((resolve) => (end = resolve));
  const agent = new ScriptedAgent({
    exec: () => 0,
    shutdown: (action, graceMs) => {
      if (listensTo !== 'agent' && agentSays === 'no') throw new ScriptedErrno('EPERM');
      log.push(`agent ${action} ${graceMs}`);
      if (listensTo === 'agent') end(ENDED);
    },
  });
  const channel = new AgentChannel(
    async () => {
      const [host, guest] = duplexPair();
      agent.serve(guest);
      return host;
    },
    { vmId: 'a' },
  );
  onTestFinished(() => channel.close());
  const live: HaltableVm = {
    agent: channel,
    ended,
    hasEnded: false,
    pressPowerButton: async () => {
      log.push('button');
      if (listensTo === 'button') end(ENDED);
    },
  };
  return { live, log };
}

describe('askToHalt', () => {
  it('asks the agent, which may take half of the time for its processes', async () => {
    const { live, log } = makeGuest('agent');
    const run = makeRun();
    expect(await askToHalt(live, makeVm({ shutdownTimeoutMs: 8000 }), run)).toBe(ENDED);
    expect(log).toEqual(['agent poweroff 4000', 'button']);
    expect(run.steps).toEqual(SHUTDOWN_STEPS);
  });

  it.each([
    ['has none', { agent: 'none' as const }],
    ['has one that cannot', {}],
  ])('presses the power button where the guest %s', async (_what, spec) => {
    const { live, log } = makeGuest('button');
    expect(await askToHalt(live, makeVm(spec), makeRun())).toBe(ENDED);
    expect(log).toEqual(['button']);
  });

  it('presses the power button also where the agent said yes: it may be no init, and halt nothing', async () => {
    const { live, log } = makeGuest('button', 'yes');
    expect(await askToHalt(live, makeVm({ shutdownTimeoutMs: 8000 }), makeRun())).toBe(ENDED);
    expect(log).toEqual(['agent poweroff 4000', 'button']);
  });

  it('answers nothing for a guest that is not over in time', async () => {
    const { live, log } = makeGuest('nothing');
    const run = makeRun();
    expect(await askToHalt(live, makeVm({ shutdownTimeoutMs: 50 }), run)).toBeUndefined();
    expect(log).toEqual(['button']);
    expect(run.steps).toEqual(['shutdown:asked']);
  });

  it('asks nobody without time for it, or where it has ended', async () => {
    const hasty = makeGuest('agent');
    expect(await askToHalt(hasty.live, makeVm({ shutdownTimeoutMs: 0 }), makeRun())).toBeUndefined();
    const over = makeGuest('agent');
    const live = { ...over.live, ended: Promise.resolve(ENDED), hasEnded: true };
    expect(await askToHalt(live, makeVm(), makeRun())).toBe(ENDED);
    expect([...hasty.log, ...over.log]).toEqual([]);
  });

  it("rejects with the signal's reason while it waits", async () => {
    const { live } = makeGuest('nothing');
    const stop = new AbortController();
    const run = { ...makeRun(() => stop.abort(new Error('the caller left'))), signal: stop.signal };
    await expect(askToHalt(live, makeVm(), run)).rejects.toThrow('the caller left');
  });
});
