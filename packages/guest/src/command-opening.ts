import { invalidArgument } from '@microvm/runtime';
import type { AttachOptions, ExecRequest, OutputOffsets } from '@microvm/runtime';
import { checkCommandId, newCommandId } from './command-id.js';
import { checkCount, encodeExecRequest, parseExecRequest } from './exec-request.js';
import type { EncodedExec, ExecMessage } from './messages.js';
import { MAX_OFFSET } from './protocol.js';
import { tooOld } from './too-old.js';

/** What of a command stands in the errors about it. */
export interface CommandNames extends Pick<ExecMessage, 'cwd' | 'user'> {
  readonly program: string;
  /** Undefined: unknown, as somebody else has started it. */
  readonly hasPty: boolean | undefined;
}

/** How a command gets a reader: it is started, or it is there already. */
export interface CommandOpening {
  readonly id: string;
  /** The message that starts it in this version of the protocol; undefined: it is there already. */
  readonly encodeStart?: (version: number) => Buffer;
  /** It is started, or never will be: its message is not needed any more. */
  readonly onStarted?: () => void;
  readonly names: CommandNames;
  readonly from?: OutputOffsets;
  readonly input?: string | Uint8Array;
  readonly maxOutputBytes?: number;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** The program's name in errors where the request names none. */
const IMAGE_COMMAND = 'the image’s own command';

type CallFields = Pick<CommandOpening, 'input' | 'maxOutputBytes' | 'signal' | 'timeoutMs'>;

function callFields({ input, maxOutputBytes, signal, timeoutMs }: CallFields): CallFields {
  return {
    ...(input === undefined ? {} : { input }),
    ...(maxOutputBytes === undefined ? {} : { maxOutputBytes }),
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function openingOf(
  request: ExecRequest,
  { isDetached = false, environmentBytes = 0 } = {},
): CommandOpening {
  const message: ExecMessage = { ...parseExecRequest(request), id: newCommandId(), isDetached };
  // As long as it may have to be sent again.
  let encoded: EncodedExec | undefined = encodeExecRequest(message, environmentBytes);
  const { argv, cwd, user, pty } = message;
  const names = { program: argv[0] ?? IMAGE_COMMAND, cwd, user, hasPty: pty !== undefined };
  return {
    id: message.id,
    encodeStart: (version) => {
      if (encoded === undefined) throw new Error('a command is started once');
      return encodeFor(version, encoded, isDetached);
    },
    onStarted: () => (encoded = undefined),
    names,
    ...callFields(request),
  };
}

/** Throws `MICROVM_INVALID_ARGUMENT`. */
export function attachmentOf(id: string, options: AttachOptions = {}): CommandOpening {
  checkCommandId(id);
  checkCount('maxOutputBytes', options.maxOutputBytes);
  checkCount('timeoutMs', options.timeoutMs);
  const { from = { stdout: 0, stderr: 0 } } = options;
  for (const stream of ['stdout', 'stderr'] as const) {
    const offset: unknown = from[stream];
    if (!Number.isSafeInteger(offset) || Number(offset) < 0 || Number(offset) > MAX_OFFSET) {
      throw invalidArgument(`from.${stream}`, 'a number of bytes');
    }
  }
  const names = { program: id, cwd: '/', user: '', hasPty: undefined };
  return { id, names, from, ...callFields(options) };
}

function encodeFor(version: number, { body, bodyV1 }: EncodedExec, isDetached: boolean): Buffer {
  if (version > 1) return body;
  if (isDetached) throw tooOld('exec with detached');
  if (bodyV1 === undefined) throw tooOld('exec with user, rlimits, pty or secrets, or without argv');
  return bodyV1;
}
