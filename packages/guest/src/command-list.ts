import { VmRuntimeError, signalName } from '@microvm/runtime';
import type { GuestCommand } from '@microvm/runtime';
import { decodeCommands } from './command-messages.js';
import type { ListedCommand } from './command-messages.js';
import type { AgentConnection } from './connection.js';
import type { CallOptions } from './deadline.js';
import { PayloadWriter } from './payload.js';
import { FrameType, MAX_COMMANDS, ProtocolError } from './protocol.js';
import { tooOld } from './too-old.js';

/**
 * All commands of a guest, in the order of their starts. `timeoutMs` is for the whole. A guest that lists
 * more than it can have, or never comes to an end, is cut off.
 */
export async function listCommands(
  connection: AgentConnection,
  { signal, timeoutMs }: CallOptions & { readonly timeoutMs: number },
): Promise<readonly GuestCommand[]> {
  if (connection.ack.version < 2) throw tooOld('commands');
  const deadline = performance.now() + timeoutMs;
  const commands: GuestCommand[] = [];
  let from = 1;
  while (from !== 0) {
    const leftMs = Math.ceil(deadline - performance.now());
    if (leftMs < 1) throw tooLate(timeoutMs);
    const asked = from;
    const page = await connection.request(FrameType.listCommands, new PayloadWriter().u32(asked).done(), {
      operation: 'commands',
      answer: FrameType.commands,
      decode: (payload) => {
        const answer = decodeCommands(payload);
        if (answer.next !== 0 && answer.next <= asked) throw new ProtocolError('a list that does not go on');
        if (commands.length + answer.commands.length > MAX_COMMANDS) {
          throw new ProtocolError(`a list of more than ${MAX_COMMANDS} commands`);
        }
        return answer;
      },
      timeoutMs: leftMs,
      ...(signal === undefined ? {} : { signal }),
    });
    if (page.next !== 0 && page.commands.length === 0) throw tooLate(timeoutMs);
    commands.push(...page.commands.map(viewOf));
    from = page.next;
  }
  return commands;
}

function viewOf(listed: ListedCommand): GuestCommand {
  const { id, pid, exit, startedUs, kept, text } = listed;
  const state: GuestCommand['state'] = exit === undefined ? 'running' : 'ended';
  return {
    id,
    command: text,
    state,
    pid: exit === undefined ? pid : null,
    exitCode: exit?.exitCode ?? null,
    signal: exit?.signal === undefined || exit.signal === null ? null : signalName(exit.signal),
    isDetached: listed.isDetached,
    hasTerminal: listed.hasTerminal,
    hasReader: listed.hasReader,
    startedAtMs: startedUs / 1000,
    kept: {
      stdout: { from: kept[1].first, to: kept[1].end },
      stderr: { from: kept[2].first, to: kept[2].end },
    },
  };
}

function tooLate(timeoutMs: number): VmRuntimeError {
  return new VmRuntimeError('MICROVM_TIMEOUT', `commands: no end after ${timeoutMs} ms`, {
    details: { operation: 'commands', timeoutMs },
  });
}
