import { rmdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentClient } from '../src/client.js';
import { AgentCgroup, RealAgent, whyNoNamespaces } from './real-agent.js';

// A child that has left the command's process group and session, and names itself.
const STRAY = 'setsid sh -c "echo \\$\\$; exec sleep 1000" & wait';

const problem = whyNoNamespaces();
const tried = AgentCgroup.make();
if (tried !== undefined) rmdirSync(tried.path);

let agent: RealAgent;
let client: AgentClient;
let cgroup: AgentCgroup;

describe.skipIf(problem !== undefined || tried === undefined)(
  'the real agent, with a cgroup for its commands',
  () => {
    beforeEach(async () => {
      const made = AgentCgroup.make();
      if (made === undefined) throw new Error('the cgroup v2 is gone');
      cgroup = made;
      agent = new RealAgent(cgroup);
      client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 10_000 });
    });

    afterEach(async () => {
      client.close();
      await agent.stop();
      await expect.poll(() => cgroup.remove()).toBe(true);
    });

    const shell = (script: string) => client.exec({ argv: ['sh', '-c', script] });
    const lives = async (pid: string): Promise<boolean> =>
      (await shell(`kill -0 ${pid}`).result).exitCode === 0;

    /** A command with a stray child, and the child's process id in the guest. */
    async function startStray(options: { timeoutMs?: number; signal?: AbortSignal } = {}) {
      const command = client.exec({ argv: ['sh', '-c', STRAY], ...options });
      const output = command[Symbol.asyncIterator]();
      const first = await output.next();
      const pid = String((first.value as { data: Buffer }).data).trim();
      return { command, pid, rest: output };
    }

    it.each([
      ['an abort', (abort: AbortController) => abort.abort(new Error('enough'))],
      ['SIGKILL', undefined],
    ])('ends a child that called setsid by %s', async (_name, end) => {
      const abort = new AbortController();
      const { command, pid, rest } = await startStray({ signal: abort.signal });
      expect(await lives(pid)).toBe(true);
      if (end === undefined) await command.kill('SIGKILL');
      else end(abort);
      await rest.next().catch(() => undefined);
      await expect.poll(() => lives(pid)).toBe(false);
    });

    it('ends a child that called setsid by the command’s deadline', async () => {
      const { pid, rest } = await startStray({ timeoutMs: 2_000 });
      await expect(rest.next()).rejects.toMatchObject({ code: 'MICROVM_TIMEOUT' });
      await expect.poll(() => lives(pid)).toBe(false);
    });

    it('sends any signal to each process of the command, also to one that called setsid', async () => {
      const trap = 'trap "echo got $0" USR1; echo ready; while :; do sleep 0.01; done';
      const script = `setsid sh -c '${trap}' stray & sh -c '${trap}' child & trap '' USR1; wait`;
      const command = client.exec({ argv: ['sh', '-c', script] });
      let text = '';
      const reading = (async () => {
        for await (const { data } of command) text += data.toString();
      })();
      await expect.poll(() => text.match(/ready/g)?.length).toBe(2);
      await command.kill('SIGUSR1');
      await expect.poll(() => text.match(/got/g)?.length).toBe(2);
      await command.kill('SIGKILL');
      await reading;
      expect(text.match(/got \w+/g)?.toSorted()).toEqual(['got child', 'got stray']);
    });

    it('leaves a child alone whose command has ended by itself, and keeps no cgroup of what is gone', async () => {
      const { stdout } = await shell('setsid sleep 1000 >/dev/null 2>&1 & echo $!').result;
      const pid = stdout.toString().trim();
      expect((await shell('true').result).exitCode).toBe(0);
      await expect.poll(() => cgroup.commands()).toHaveLength(1);
      expect(await lives(pid)).toBe(true);
      await shell(`kill -9 ${pid}`).result;
      await expect.poll(() => cgroup.commands()).toHaveLength(0);
    });

    it('freezes what is in the commands’ own cgroups', async () => {
      const { pid } = await startStray();
      await client.freeze();
      expect((await client.ping()).isFrozen).toBe(true);
      await client.thaw();
      expect(await lives(pid)).toBe(true);
    });
  },
);
