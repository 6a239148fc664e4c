import { idNumber, readId } from './command-id.js';
import { inRange, read } from './messages.js';
import type { PayloadReader } from './payload.js';
import { PayloadWriter } from './payload.js';
import {
  ALL_COMMAND_FLAGS,
  CommandFlag,
  INPUT_ONLY,
  MAX_LISTED,
  MAX_LISTED_TEXT_BYTES,
  MAX_WINDOW,
  ProtocolError,
  StreamKind,
} from './protocol.js';
import type { OutputChannel } from './protocol.js';

export type ExitMessage =
  { readonly exitCode: number; readonly signal: null } | { readonly exitCode: null; readonly signal: number };

/** How the stream of a command ended: with the command, or because its reader left. */
export type CommandEndMessage = ExitMessage | 'detached';

/** What a reader that comes, or comes back, asks for. */
export interface AttachMessage {
  readonly id: string;
  /** It sends input and reads nothing. */
  readonly isInputOnly: boolean;
  /** Of each output the first byte that the reader has not got, and what may be sent to it at first. */
  readonly channels: Readonly<Record<OutputChannel, { readonly offset: number; readonly credit: number }>>;
}

/** What is said of a command by flags. */
export interface CommandFlags {
  readonly isDetached: boolean;
  readonly hasTerminal: boolean;
  /** The host's END was taken. */
  readonly isInputEnded: boolean;
  /** Nobody reads the input any more. */
  readonly isInputGone: boolean;
  readonly hasReader: boolean;
}

/** Where the guest's side of an attachment stands. */
export interface AttachedMessage extends CommandFlags {
  readonly pid: number;
  /** Bytes of the input that were taken so far, and what may be sent. */
  readonly inputTaken: number;
  readonly inputCredit: number;
  /** The first byte of each output that will come: a later one where the ring was overrun. */
  readonly begin: Readonly<Record<OutputChannel, number>>;
}

export interface ListedCommand extends CommandFlags {
  readonly id: string;
  /** 0: it has ended. */
  readonly pid: number;
  readonly exit: ExitMessage | undefined;
  readonly startedUs: number;
  /** Of each output the oldest byte that is kept, and the number of those that were written. */
  readonly kept: Readonly<Record<OutputChannel, { readonly first: number; readonly end: number }>>;
  readonly text: string;
}

export interface CommandsMessage {
  /** The number from which to ask for more; 0: these were the last. */
  readonly next: number;
  readonly commands: readonly ListedCommand[];
}

function flagsOf(flags: CommandFlags): number {
  return (
    (flags.isDetached ? CommandFlag.detached : 0) |
    (flags.hasTerminal ? CommandFlag.hasTerminal : 0) |
    (flags.isInputEnded ? CommandFlag.inputEnded : 0) |
    (flags.isInputGone ? CommandFlag.inputGone : 0) |
    (flags.hasReader ? CommandFlag.hasReader : 0)
  );
}

function readFlags(input: PayloadReader): CommandFlags {
  const flags = input.u8();
  if ((flags & ~ALL_COMMAND_FLAGS) !== 0) throw new ProtocolError('unknown flags of a command');
  return {
    isDetached: (flags & CommandFlag.detached) !== 0,
    hasTerminal: (flags & CommandFlag.hasTerminal) !== 0,
    isInputEnded: (flags & CommandFlag.inputEnded) !== 0,
    isInputGone: (flags & CommandFlag.inputGone) !== 0,
    hasReader: (flags & CommandFlag.hasReader) !== 0,
  };
}

export function encodeAttach({ id, isInputOnly, channels }: AttachMessage): Buffer {
  const out = new PayloadWriter().u8(StreamKind.attach).u64(idNumber(id));
  out.u8(isInputOnly ? INPUT_ONLY : 0);
  for (const { offset, credit } of [channels[1], channels[2]]) out.u64(BigInt(offset)).u32(credit);
  return out.done();
}

export function decodeAttach(body: Buffer): AttachMessage {
  return read(body, (input) => {
    inRange(input.u8(), StreamKind.attach, StreamKind.attach);
    const id = readId(input);
    const isInputOnly = inRange(input.u8(), 0, INPUT_ONLY) === INPUT_ONLY;
    const channel = () => ({ offset: input.offset(), credit: inRange(input.u32(), 0, MAX_WINDOW) });
    return { id, isInputOnly, channels: { 1: channel(), 2: channel() } };
  });
}

export function encodeAttached(message: AttachedMessage): Buffer {
  const { pid, inputTaken, inputCredit, begin } = message;
  const out = new PayloadWriter().u32(pid).u8(flagsOf(message)).u64(BigInt(inputTaken)).u32(inputCredit);
  return out.u64(BigInt(begin[1])).u64(BigInt(begin[2])).done();
}

export function decodeAttached(payload: Buffer): AttachedMessage {
  return read(payload, (input) => ({
    pid: input.u32(),
    ...readFlags(input),
    inputTaken: input.offset(),
    inputCredit: inRange(input.u32(), 0, MAX_WINDOW),
    begin: { 1: input.offset(), 2: input.offset() },
  }));
}

export function encodeAck(channel: OutputChannel, offset: number): Buffer {
  return new PayloadWriter().u8(channel).u64(BigInt(offset)).done();
}

export function decodeAck(payload: Buffer): { readonly channel: OutputChannel; readonly offset: number } {
  return read(payload, (input) => ({
    channel: inRange(input.u8(), 1, 2) === 1 ? 1 : 2,
    offset: input.offset(),
  }));
}

export function encodeCommandEnd(end: CommandEndMessage): Buffer {
  if (end === 'detached') return Buffer.of(2, 0);
  return end.signal === null ? Buffer.of(0, end.exitCode) : Buffer.of(1, end.signal);
}

export function decodeCommandEnd(payload: Buffer): CommandEndMessage {
  return read(payload, (input) => {
    const kind = inRange(input.u8(), 0, 2);
    const value = input.u8();
    if (kind === 0) return { exitCode: value, signal: null };
    if (kind === 1) return { exitCode: null, signal: inRange(value, 1, 64) };
    inRange(value, 0, 0);
    return 'detached';
  });
}

/** Whom a signal is for: the command of a stream, or one that nobody need read. */
export type SignalTarget = { readonly stream: number } | { readonly id: string };

export function encodeSignal(target: SignalTarget, signal: number): Buffer {
  const out = new PayloadWriter().u32('stream' in target ? target.stream : 0).u8(signal);
  return ('id' in target ? out.u64(idNumber(target.id)) : out).done();
}

export function decodeSignal(payload: Buffer): { readonly target: SignalTarget; readonly signal: number } {
  return read(payload, (input) => {
    const stream = input.u32();
    const signal = inRange(input.u8(), 1, 64);
    return { target: stream === 0 ? { id: readId(input) } : { stream }, signal };
  });
}

export function encodeCommands({ next, commands }: CommandsMessage): Buffer {
  const out = new PayloadWriter().u32(next).u16(commands.length);
  for (const command of commands) {
    const { exit, kept } = command;
    out.u64(idNumber(command.id)).u32(command.pid);
    out.u8(exit === undefined ? 0 : exit.signal === null ? 1 : 2).u8(exit?.exitCode ?? exit?.signal ?? 0);
    out.u8(flagsOf(command)).u64(BigInt(command.startedUs));
    for (const { first, end } of [kept[1], kept[2]]) out.u64(BigInt(first)).u64(BigInt(end));
    out.blob(Buffer.from(command.text).subarray(0, MAX_LISTED_TEXT_BYTES));
  }
  return out.done();
}

function readListed(input: PayloadReader): ListedCommand {
  const id = readId(input);
  const pid = input.u32();
  const state = inRange(input.u8(), 0, 2);
  const value = input.u8();
  const flags = readFlags(input);
  const startedUs = Number(input.u64());
  const output = () => {
    const first = input.offset();
    const end = input.offset();
    if (first > end) throw new ProtocolError('an output that begins behind its end');
    return { first, end };
  };
  const kept = { 1: output(), 2: output() };
  const text = input.words(MAX_LISTED_TEXT_BYTES);
  const ended: readonly (ExitMessage | undefined)[] = [
    undefined,
    { exitCode: value, signal: null },
    { exitCode: null, signal: state === 2 ? inRange(value, 1, 64) : 0 },
  ];
  return { id, pid, exit: ended[state], ...flags, startedUs, kept, text };
}

export function decodeCommands(payload: Buffer): CommandsMessage {
  return read(payload, (input) => {
    const next = input.u32();
    const count = inRange(input.u16(), 0, MAX_LISTED);
    return { next, commands: Array.from({ length: count }, () => readListed(input)) };
  });
}
