import { VmRuntimeError, within } from '@microvm/runtime';
import { AgentFailure } from './agent-failure.js';
import type { AgentConnection } from './connection.js';
import type { CommandStream } from './command-stream.js';
import { encodeSignal } from './command-messages.js';
import type { SignalTarget } from './command-messages.js';
import { FrameType } from './protocol.js';
import { CONFIRMED } from './request.js';

const KILL_TIMEOUT_MS = 10_000;

/** Sends a signal to the command of a stream. One that has ended by itself needs none. */
export async function killCommand(stream: CommandStream, signal: number): Promise<void> {
  const timeoutMs = KILL_TIMEOUT_MS;
  const opened = await within(stream.opened(), { timeoutMs }, () => {
    throw new VmRuntimeError('MICROVM_TIMEOUT', `kill: the guest is out of reach after ${timeoutMs} ms`, {
      details: { operation: 'kill', timeoutMs },
    });
  });
  if (opened !== undefined) await sendSignal(opened.connection, { stream: opened.number }, signal);
}

/** The same to a command that nobody need read, by its id. */
export async function sendSignal(
  connection: AgentConnection,
  target: SignalTarget,
  signal: number,
): Promise<void> {
  try {
    await connection.request(FrameType.signal, encodeSignal(target, signal), {
      operation: 'kill',
      ...CONFIRMED,
      timeoutMs: KILL_TIMEOUT_MS,
    });
  } catch (error) {
    if (error instanceof AgentFailure && error.errno === 'ESRCH') return;
    throw error;
  }
}
