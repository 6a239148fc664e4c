import { duplexPair } from 'node:stream';
import { AgentClient } from '../src/client.js';
import { ScriptedAgent } from '../src/scripted-agent.js';
import type { ScriptedAgentOptions, ScriptedHandlers } from '../src/scripted-agent.js';

/** A client that is connected to a scripted guest. */
export async function scriptedGuest(
  handlers: Partial<ScriptedHandlers>,
  options: ScriptedAgentOptions = {},
): Promise<{ readonly client: AgentClient; readonly agent: ScriptedAgent }> {
  const agent = new ScriptedAgent({ exec: () => 0, ...handlers }, options);
  return { agent, client: await connectTo(agent) };
}

export async function connectTo(agent: ScriptedAgent): Promise<AgentClient> {
  const [host, guest] = duplexPair();
  agent.serve(guest);
  return AgentClient.connect(host, {
    vm: { vmId: 'vm' },
    timeoutMs: 600_000,
    thrownBy: (failure) => agent.thrownBy(failure),
  });
}
