import { randomBytes } from 'node:crypto';
import { encodeCredit, encodeFailed, encodeFarewell, encodeInfo } from '../../src/messages.js';
import { encodeAttached, encodeCommandEnd, encodeCommands } from '../../src/command-messages.js';
import { encodeClosed } from '../../src/socket-messages.js';
import { PayloadWriter } from '../../src/payload.js';
import { FrameType, HEADER_SIZE, INPUT_CHANNEL, MAX_WINDOW } from '../../src/protocol.js';
import { frame, many, type Peer } from './peer.js';

const X = Buffer.from('x');
const started = (stream: number): Buffer => frame(FrameType.opened, stream, Buffer.from([1, 0, 0, 0]));
const exit = (stream: number): Buffer =>
  frame(FrameType.ended, stream, encodeCommandEnd({ exitCode: 0, signal: null }));
const ESCAPES = 'looks fine\u001b[2J\r\n\u202e';

/** Greets, waits for a command and then floods with these frames of it, whatever the host says. */
function floodAfterExec(...frames: readonly Buffer[]): (peer: Peer) => Promise<void> {
  return async (peer) => {
    await peer.greet();
    await peer.hear(FrameType.open);
    await peer.flood(many(...frames));
  };
}

const KEPT = { first: 0, end: 0 };
const FLAGS = {
  ...{ isDetached: false, hasTerminal: false, isInputEnded: false, isInputGone: false, hasReader: true },
};
const LISTED = {
  ...{ id: '0123456789abcdef', pid: 1, exit: undefined, ...FLAGS, startedUs: 0, kept: { 1: KEPT, 2: KEPT } },
  text: 'x'.repeat(256),
};
const ATTACHED = { ...FLAGS, pid: 1, inputTaken: 0, inputCredit: 65_536, begin: { 1: 10, 2: 0 } };

function answerList(answer: Buffer): (peer: Peer) => Promise<void> {
  return async (peer) => {
    await peer.greet();
    for (;;) {
      const asked = await peer.hear(FrameType.listCommands);
      if (asked === undefined) return;
      await peer.say(frame(FrameType.commands, asked.stream, answer));
    }
  };
}

/** Without an answer data comes at once. */
function answerAttach(answer: Buffer | undefined): (peer: Peer) => Promise<void> {
  return async (peer) => {
    await peer.greet();
    await peer.hear(FrameType.open);
    if (answer !== undefined) await peer.say(frame(FrameType.opened, 1, answer));
    await peer.flood(frame(FrameType.data1, 1, X));
  };
}

/** What a hostile agent does with a connection. Each mode goes on until the host cuts it off. */
export const MODES = {
  /**
   * Each read of the host has one byte for a command that nobody reads, and is full of data for one that is
   * read.
   */
  async 'tiny-data-in-big-reads'(peer) {
    await peer.greet();
    await peer.hear(FrameType.open);
    await peer.hear(FrameType.open);
    const filler = frame(FrameType.data1, 2, Buffer.alloc(16 * 1024 - HEADER_SIZE));
    // As many as the first window of the unread command takes.
    for (let tiny = 0; tiny < 1300; tiny++) {
      const stream = tiny % 2 === 0 ? FrameType.data1 : FrameType.data2;
      await peer.say(frame(stream, 1, X), filler, filler, filler, filler);
      await peer.hear(FrameType.credit);
    }
    await peer.say(exit(2));
    await peer.hear(FrameType.signal);
  },
  /** As much output as the host takes, as fast as it takes it. */
  async 'endless-output'(peer) {
    await peer.greet();
    await peer.hear(FrameType.open);
    await peer.flood(frame(FrameType.data1, 1, Buffer.alloc(16 * 1024 - HEADER_SIZE)));
  },
  /** The same in frames of one byte. */
  'endless-tiny-output': floodAfterExec(frame(FrameType.data1, 1, X), frame(FrameType.data2, 1, X)),
  'farewell-flood': floodAfterExec(
    frame(FrameType.farewell, 0, encodeFarewell({ reason: 'panic', action: 'reboot' })),
  ),
  'old-epoch-flood': floodAfterExec(frame(FrameType.data1, 1, X, 0)),
  'ended-stream-flood': floodAfterExec(exit(1), frame(FrameType.creditToHost, 1, encodeCredit(0, 1))),
  'second-error-flood': floodAfterExec(
    frame(FrameType.failed, 1, encodeFailed('EIO', 'exec')),
    frame(FrameType.failed, 1, encodeFailed('EIO', 'exec')),
  ),
  /** An agent of an older protocol, as that of a snapshot, with output that nobody gave credit for. */
  async 'old-protocol-flood'(peer) {
    await peer.greet({ version: 1, lowestVersion: 1, highestVersion: 1 });
    await peer.hear(FrameType.open);
    await peer.flood(many(frame(FrameType.data1, 1, X)));
  },
  /** Claims a protocol that nobody asked for. */
  async 'foreign-protocol'(peer) {
    await peer.greet({ version: 9, lowestVersion: 9, highestVersion: 9 });
    while ((await peer.hear()) !== undefined);
  },
  'started-flood': floodAfterExec(started(1)),
  'stdin-gone-flood': floodAfterExec(frame(FrameType.gone, 1)),
  'credit-flood': floodAfterExec(frame(FrameType.creditToHost, 1, encodeCredit(INPUT_CHANNEL, 1))),
  'end-of-nobody': floodAfterExec(frame(FrameType.endToHost, 9)),
  /** These are of a connection. */
  'second-end': floodAfterExec(
    frame(FrameType.opened, 1),
    frame(FrameType.endToHost, 1),
    frame(FrameType.endToHost, 1),
  ),
  'end-before-opened': floodAfterExec(frame(FrameType.endToHost, 1)),
  'data-before-opened': floodAfterExec(frame(FrameType.data1, 1, X)),
  'reset-before-opened': floodAfterExec(frame(FrameType.ended, 1, encodeClosed(true))),
  'data-behind-an-end': floodAfterExec(
    frame(FrameType.opened, 1),
    frame(FrameType.endToHost, 1),
    frame(FrameType.data1, 1, X),
  ),
  'closed-without-an-end': floodAfterExec(
    frame(FrameType.opened, 1),
    frame(FrameType.ended, 1, encodeClosed(false)),
  ),
  'data-2-of-a-connection': floodAfterExec(frame(FrameType.opened, 1), frame(FrameType.data2, 1, X)),
  'answers-to-nobody': floodAfterExec(frame(FrameType.pong, 9, encodeInfo(INFO()))),
  'future-epoch': floodAfterExec(frame(FrameType.data1, 1, X, 2)),
  'data-without-credit': floodAfterExec(frame(FrameType.data1, 1, Buffer.alloc(65_536))),
  'empty-data': floodAfterExec(frame(FrameType.data1, 1)),
  'noise-after-hello': floodAfterExec(randomBytes(64)),
  /** A header that promises 4 GiB. */
  async 'endless-frame'(peer) {
    await peer.greet();
    await peer.hear(FrameType.open);
    const header = frame(FrameType.data1, 1, X).subarray(0, HEADER_SIZE);
    header.writeUInt32LE(0xffff_ffff, 16);
    await peer.say(header);
    await peer.flood(Buffer.alloc(65_536));
  },
  /** Half a frame, and then nothing. */
  async 'half-a-frame'(peer) {
    await peer.greet();
    await peer.hear(FrameType.open);
    await peer.say(frame(FrameType.data1, 1, Buffer.alloc(1000)).subarray(0, 500));
    while ((await peer.hear()) !== undefined);
  },
  /** Reads everything and answers nothing. */
  async silent(peer) {
    await peer.greet();
    while ((await peer.hear()) !== undefined);
  },
  /** Reads nothing any more, and claims that it has room for everything. */
  async deaf(peer) {
    await peer.greet({ maxStreams: 65_535, inputWindow: MAX_WINDOW });
    peer.turnDeaf();
  },
  /** Never confirms that a command is dead. */
  async 'undead-commands'(peer) {
    await peer.greet();
    for (let heard = await peer.hear(); heard !== undefined; heard = await peer.hear()) {
      if (heard.type === FrameType.open) await peer.say(started(heard.stream));
    }
  },
  /** Text that a terminal would obey, wherever text goes. */
  async 'control-text-in-hello'(peer) {
    await peer.greet({ info: { ...INFO(), kernelRelease: ESCAPES } });
  },
  'control-text-in-reset': floodAfterExec(
    frame(FrameType.reset, 0, new PayloadWriter().text(ESCAPES).done()),
  ),
  'control-text-in-failure': floodAfterExec(frame(FrameType.failed, 1, encodeFailed('EIO', ESCAPES))),
  /** Bytes without end before any mark. */
  async 'no-mark'(peer) {
    await peer.flood(randomBytes(65_536));
  },
  /** Its mark, and half an answer. */
  async 'half-a-hello'(peer) {
    await peer.say(await peer.mark(), frame(FrameType.helloAck, 0, Buffer.alloc(40)).subarray(0, 30));
    while ((await peer.hear()) !== undefined);
  },
  /** Lists commands without end. */
  async 'endless-list'(peer) {
    await peer.greet();
    let next = 1;
    for (;;) {
      const asked = await peer.hear(FrameType.listCommands);
      if (asked === undefined) return;
      next += 128;
      const commands = Array.from({ length: 128 }, () => LISTED);
      await peer.say(frame(FrameType.commands, asked.stream, encodeCommands({ next, commands })));
    }
  },
  /** Lists the same commands again and again. */
  'list-that-stands-still': answerList(encodeCommands({ next: 1, commands: [LISTED] })),
  /** Says that it lists as many commands as a number can say, and lists none. */
  'list-of-4294967295': answerList(new PayloadWriter().u32(0xffff_ffff).u16(0xffff).done()),
  /** Lists an output that ends before its begin. */
  'list-of-less-than-nothing': answerList(
    encodeCommands({ next: 0, commands: [{ ...LISTED, kept: { 1: { first: 9, end: 1 }, 2: KEPT } }] }),
  ),
  /** Sends a reader what it has already. */
  'output-again': answerAttach(encodeAttached({ ...ATTACHED, begin: { 1: 9, 2: 0 } })),
  /** Tells a gap that no output can have. */
  'gap-without-end': answerAttach(
    new PayloadWriter().u32(1).u8(0).u64(0n).u32(1).u64(0xffff_ffff_ffff_ffffn).u64(0n).done(),
  ),
  /** Says what has no meaning. */
  'unknown-flags': answerAttach(new PayloadWriter().u32(1).u8(255).u64(0n).u32(1).u64(10n).u64(0n).done()),
  /** Sends output before it says where the output begins. */
  'output-before-its-offset': answerAttach(undefined),
  /** Lets a reader go that has not asked for it. */
  'detached-unasked': floodAfterExec(started(1), frame(FrameType.ended, 1, encodeCommandEnd('detached'))),
  /** Cuts the connection when it was greeted. */
  async 'hangs-up-after-hello'(peer) {
    await peer.greet();
    peer.hangUp();
  },
  /** Cuts the connection instead of an answer. */
  async 'hangs-up'(peer) {
    await peer.mark();
    peer.hangUp();
  },
} as const satisfies Record<string, (peer: Peer) => Promise<void>>;

export type Mode = keyof typeof MODES;

function INFO() {
  return { agentVersion: 'hostile', epoch: 1, kernelRelease: 'k', isFrozen: false, isInit: true } as const;
}
