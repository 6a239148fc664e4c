import { duplexPair } from 'node:stream';
import { ScriptedAgent, ScriptedErrno, type ScriptedHandlers, type ScriptedThaw } from '@microvm/guest';
import { isVmRuntimeError } from '@microvm/runtime';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AgentChannel } from '../src/guest/agent-channel.js';
import { ensureThawed } from '../src/guest/workload.js';
import { PAUSE_STEPS, pauseVm, resumeVm, type PausableVm } from '../src/vm/pause.js';
import { makeRun, makeVm } from './vm.js';

interface Fixture {
  readonly live: PausableVm;
  readonly agent: ScriptedAgent;
  /** What happened, in order. */
  readonly log: string[];
  readonly thaws: ScriptedThaw[];
}

interface Settings {
  readonly isRunning?: boolean;
  readonly isFrozen?: boolean;
  readonly hasAgent?: boolean;
  readonly handlers?: Partial<ScriptedHandlers>;
  readonly hold?: () => Promise<void>;
}

function makeFixture({
  handlers,
  hold,
  isFrozen = false,
  hasAgent = true,
  isRunning = true,
}: Settings): Fixture {
  const log: string[] = [];
  const thaws: ScriptedThaw[] = [];
  const agent = new ScriptedAgent(
    {
      exec: () => 0,
      freeze: () => void log.push('freeze'),
      thaw: (thaw) => {
        log.push('thaw');
        thaws.push(thaw);
      },
      ...handlers,
    },
    { isFrozen },
  );
  const dial = async () => {
    if (!hasAgent) throw new Error('nobody is there');
    const [host, guest] = duplexPair();
    agent.serve(guest);
    return host;
  };
  const channel = new AgentChannel(dial, { vmId: 'a' });
  onTestFinished(() => channel.close());
  let running = isRunning;
  const live: PausableVm = {
    agent: channel,
    isRunning: async () => running,
    holdCpus: async () => {
      log.push('hold');
      await hold?.();
      running = false;
    },
    releaseCpus: async () => {
      log.push('release');
      running = true;
    },
  };
  return { live, agent, log, thaws };
}

describe('pauseVm', () => {
  it('freezes the workload, then holds the CPUs', async () => {
    const { live, log } = makeFixture({});
    const run = makeRun();
    await pauseVm(live, makeVm(), run);
    expect(log).toEqual(['freeze', 'hold']);
    expect(run.steps).toEqual(['pause:frozen', 'pause:held']);
    await pauseVm(live, makeVm(), run);
    expect(log).toEqual(['freeze', 'hold']);
  });

  it.each([
    ['has no agent by its spec', { agent: 'none' as const }, {}],
    ['does not answer', {}, { hasAgent: false }],
  ])('holds a guest in the middle of its work that %s', async (_what, spec, settings) => {
    const { live, log } = makeFixture(settings);
    await pauseVm(live, makeVm(spec), makeRun());
    expect(log).toEqual(['hold']);
  });

  it('lets the workload go on when the CPUs cannot be held', async () => {
    const { live, agent, log } = makeFixture({ hold: () => Promise.reject(new Error('the VMM hangs')) });
    await expect(pauseVm(live, makeVm(), makeRun())).rejects.toThrow('the VMM hangs');
    await expect.poll(() => agent.isFrozen).toBe(false);
    expect(log).toEqual(['freeze', 'hold', 'thaw']);
  });
});

describe('a command that is asked for while its VM stands still', () => {
  const exec = (log: string[]): Partial<ScriptedHandlers> => ({ exec: () => (log.push('exec'), 0) });

  it('is started after the thaw, although the VMM has cut the session by then', async () => {
    const heard: string[] = [];
    const { live, log } = makeFixture({ handlers: exec(heard) });
    const guest = await live.agent.guest();
    await pauseVm(live, makeVm(), makeRun());
    const early = guest.exec({ argv: ['x'] });
    live.agent.drop();
    const late = (await live.agent.guest()).exec({ argv: ['x'] });
    expect(heard).toEqual([]);
    await resumeVm(live, makeVm(), 'pause', makeRun());
    expect((await early.result).exitCode).toBe(0);
    expect((await late.result).exitCode).toBe(0);
    expect(log).toEqual(['freeze', 'hold', 'release', 'thaw']);
    expect(heard).toEqual(['exec', 'exec']);
  });

  it('is started when the pause fails', async () => {
    const { live } = makeFixture({ hold: () => Promise.reject(new Error('the VMM hangs')) });
    const guest = await live.agent.guest();
    const pausing = pauseVm(live, makeVm(), makeRun());
    const asked = guest.exec({ argv: ['x'] });
    await expect(pausing).rejects.toThrow('the VMM hangs');
    expect((await asked.result).exitCode).toBe(0);
  });
});

describe('resumeVm', () => {
  it('lets the CPUs go on, then the workload, with nothing but the time after a pause', async () => {
    const { live, log, thaws } = makeFixture({ isRunning: false, isFrozen: true });
    const run = makeRun();
    await resumeVm(live, makeVm(), 'pause', run);
    expect(log).toEqual(['release', 'thaw']);
    expect(run.steps).toEqual(['resume:going', 'resume:repaired']);
    expect(Math.abs((thaws[0]?.wallClockMs ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(thaws[0]).toMatchObject({ epoch: undefined, entropy: undefined, machineId: undefined });
    await resumeVm(live, makeVm(), 'pause', run);
    expect(log).toEqual(['release', 'thaw']);
  });

  it('makes another guest of it after a restore, with entropy of its own each time', async () => {
    const scenes = [1, 2].map(() => makeFixture({ isRunning: false, isFrozen: true }));
    for (const { live } of scenes) await resumeVm(live, makeVm(), 'restore', makeRun());
    const [one, other] = scenes.map(({ thaws }) => thaws[0]);
    expect(one).toMatchObject({ epoch: 2, machineId: makeVm().instanceId });
    expect(one?.entropy).toHaveLength(64);
    expect(one?.entropy?.equals(other?.entropy ?? Buffer.alloc(0))).toBe(false);
  });

  it('tells a guest again that cut the connection in the middle, as one that resets its vsock does', async () => {
    let isFirst = true;
    const handlers = {
      thaw: () => {
        fixture.log.push('thaw');
        if (isFirst) fixture.agent.close();
        isFirst = false;
      },
    };
    const fixture = makeFixture({ isRunning: false, isFrozen: true, handlers });
    await resumeVm(fixture.live, makeVm(), 'restore', makeRun());
    expect(fixture.log).toEqual(['release', 'thaw', 'thaw']);
    expect(fixture.agent.isFrozen).toBe(false);
  });

  it.each(['pause', 'restore'] as const)(
    'holds a guest again that could not be repaired after a %s',
    async (how) => {
      const thaw = () => {
        throw new ScriptedErrno('EPERM');
      };
      const { live, log } = makeFixture({ isRunning: false, isFrozen: true, handlers: { thaw } });
      const error = await resumeVm(live, makeVm(), how, makeRun()).catch((thrown: unknown) => thrown);
      if (!isVmRuntimeError(error, 'MICROVM_GUEST_UNREACHABLE')) throw error;
      expect(error.details.reason).toContain(`not repaired after a ${how}`);
      expect(log).toEqual(['release', 'hold']);
      expect(await live.isRunning({})).toBe(false);
    },
  );

  it('holds it again and says what the caller said when that one left', async () => {
    const stop = new AbortController();
    const run = { ...makeRun(() => stop.abort(new Error('the caller left'))), signal: stop.signal };
    const { live, log } = makeFixture({ isRunning: false, isFrozen: true });
    await expect(resumeVm(live, makeVm(), 'pause', run)).rejects.toThrow('the caller left');
    expect(log).toEqual(['release', 'hold']);
  });

  it('asks nothing of a guest without an agent', async () => {
    const { live, log } = makeFixture({ isRunning: false });
    await resumeVm(live, makeVm({ agent: 'none' }), 'restore', makeRun());
    expect(log).toEqual(['release']);
  });

  it('has all its steps in the list for drivers', async () => {
    const run = makeRun();
    const { live } = makeFixture({});
    await pauseVm(live, makeVm(), run);
    await resumeVm(live, makeVm(), 'pause', run);
    expect(run.steps).toEqual(PAUSE_STEPS);
  });
});

describe('ensureThawed', () => {
  const given = { vm: makeVm(), signal: new AbortController().signal };

  it('lets a workload go on that a broken pause left frozen, and no other', async () => {
    const frozen = makeFixture({ isFrozen: true });
    await ensureThawed(frozen.live.agent, given);
    expect(frozen.log).toEqual(['thaw']);
    const going = makeFixture({});
    await ensureThawed(going.live.agent, given);
    expect(going.log).toEqual([]);
  });

  it('takes a guest that does not answer for one that runs', async () => {
    const { live } = makeFixture({ hasAgent: false });
    await ensureThawed(live.agent, given);
  });
});
