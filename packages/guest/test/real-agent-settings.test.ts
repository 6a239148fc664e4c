import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecRequest } from '@microvm/runtime';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = whyNoNamespaces();
if (problem !== undefined) console.warn(`SKIPPED: the tests of the real agent: ${problem}`);

let agent: RealAgent;
let client: AgentClient;

beforeEach(async () => {
  if (problem !== undefined) return;
  agent = new RealAgent();
  client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
});

afterEach(async () => {
  if (problem !== undefined) return;
  client.close();
  await agent.stop();
});

async function environment(request: Partial<ExecRequest> = {}): Promise<string[]> {
  const { stdout } = await client.exec({ argv: ['env', '-0'], input: '', ...request }).result;
  return stdout.toString().split('\0');
}

describe.skipIf(problem !== undefined)('the real agent gives its commands an environment', () => {
  it("over its own and that of the user and the terminal, and under the command's", async () => {
    const [own] = (await environment()).filter((entry) => entry.startsWith('PATH='));
    await client.setEnv({ A: 'of vm', B: 'a=b\nc', HOME: '/of/vm', TERM: 'of-vm', EMPTY: '' });
    const entries = await environment({ user: 'root', env: { A: 'of command' } });
    expect(entries).toEqual(
      expect.arrayContaining([own, 'A=of command', 'B=a=b\nc', 'HOME=/of/vm', 'TERM=of-vm', 'EMPTY=']),
    );
    expect(entries.filter((entry) => /^(A|HOME)=/.test(entry))).toHaveLength(2);
  });

  it('whole, each time in the place of the one before, also in a later session', async () => {
    await client.setEnv({ A: '1', B: '2' });
    await client.setEnv({ B: '3' });
    client.close();
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    const entries = await environment();
    expect(entries).toContain('B=3');
    expect(entries.some((entry) => entry.startsWith('A='))).toBe(false);
  });

  it('of 8,192 variables and 1 MiB, which takes several frames', async () => {
    const value = 'x'.repeat(100);
    const env = Object.fromEntries(Array.from({ length: 8192 }, (_, index) => [`V${index}`, value]));
    await client.setEnv(env);
    const entries = await environment();
    expect(entries.filter((entry) => /^V\d+=x{100}$/.test(entry))).toHaveLength(8192);
  });

  it('while the workload is frozen too', async () => {
    await client.freeze();
    await client.setEnv({ A: 'set while frozen' });
    await client.thaw();
    expect(await environment()).toContain('A=set while frozen');
  });
});
