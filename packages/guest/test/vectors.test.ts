import { readFileSync } from 'node:fs';
import type { GuestMetrics } from '@microvm/runtime';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, makeFrame } from '../src/codec.js';
import { decodeFileFailed, fileMessage, MessageReader } from '../src/files/file-message.js';
import { FileOp } from '../src/files/file-protocol.js';
import { decodeFiles, encodeFiles } from '../src/files/open-files.js';
import { writeRequest } from '../src/files/write-content.js';
import {
  decodeCredit,
  decodeExec,
  decodeFailed,
  encodeCredit,
  encodeExec,
  encodeResize,
} from '../src/messages.js';
import {
  decodeAccept,
  decodeClosed,
  decodeConnect,
  decodeListen,
  encodeAccept,
  encodeConnect,
  encodeListen,
} from '../src/socket-messages.js';
import type { ExecMessage } from '../src/messages.js';
import { decodeMetrics, encodeMetrics } from '../src/metrics-message.js';
import {
  decodeAttach,
  decodeAttached,
  decodeCommandEnd,
  decodeCommands,
  encodeAck,
  encodeAttach,
  encodeSignal,
} from '../src/command-messages.js';
import { PayloadWriter } from '../src/payload.js';
import { FrameType } from '../src/protocol.js';
import { decodeSetImage, encodeSetImage } from '../src/image-message.js';
import { decodeSecrets, decodeSetEnv, encodeSecrets, encodeSetEnv } from '../src/settings-messages.js';
import { decodeFrames } from './decode-frames.js';

/** The test vectors of the specification, which the agent's tests read as well. */
function readVectors(): Readonly<Record<string, string>> {
  const page = readFileSync(new URL('../../../docs/guest-protocol.md', import.meta.url), 'utf8');
  const block = /^```vectors\n([^]*?)^```$/m.exec(page)?.[1] ?? '';
  return Object.fromEntries(
    block
      .trim()
      .split('\n')
      .map((line) => line.split(' ') as [string, string]),
  );
}

const ID = '0123456789abcdef';
const PLAIN: ExecMessage = {
  id: ID,
  isDetached: false,
  argv: ['true'],
  env: {},
  cwd: '/',
  user: '',
  rlimits: {},
  pty: undefined,
  secrets: {},
};
const FULL: ExecMessage = {
  id: ID,
  isDetached: true,
  argv: ['sh', '-c', 'exit 3'],
  env: { A: '1=2' },
  cwd: '/srv',
  user: 'me:wheel',
  rlimits: { cpuSeconds: 1, addressSpaceBytes: 2, fileSizeBytes: 3, openFiles: 4, processes: 5 },
  pty: { cols: 80, rows: 24, term: 'xterm' },
  secrets: { TOKEN: 'registry' },
};

/** Each number once. */
const METRICS: GuestMetrics = {
  uptimeMs: 1,
  load: [0.02, 0.03, 0.04],
  processCount: 5,
  threadCount: 6,
  cpu: { count: 7, userUs: 8, systemUs: 9, idleUs: 10 },
  memory: { totalBytes: 11, freeBytes: 12, availableBytes: 13, swapTotalBytes: 14, swapFreeBytes: 15 },
  fileSystems: [{ path: '/', type: 'ext4', totalBytes: 16, freeBytes: 17, availableBytes: 18 }],
  disks: [{ name: 'vda', readBytes: 19, writtenBytes: 20, readCount: 21, writeCount: 22 }],
};
const IMAGE = {
  env: { A: '1=2', EMPTY: '' },
  workingDir: '/srv',
  user: 'me:wheel',
  entrypoint: ['/bin/start'],
  cmd: ['-v'],
  stopSignal: 'SIGRTMIN+3',
};
const VARIABLES = { A: '1=2', EMPTY: '' };
const SECRETS = { keep: ['kept'], give: new Map([['token', { owner: 'me', bytes: Buffer.from('a\0b') }]]) };

const TARGETS = {
  internet: { port: 8080, host: '::1' },
  unix: { path: '/run/a.sock' },
  vsock: { vsockPort: 5000 },
};

const ATTACH = {
  id: ID,
  isInputOnly: false,
  channels: { 1: { offset: 1_000, credit: 32_768 }, 2: { offset: 2, credit: 0 } },
};

const request = (message: Buffer): Buffer => encodeFrame(makeFrame(FrameType.data, 1, 1, message));
const LSTAT = new PayloadWriter().u8(1).blob(Buffer.from([0x2f, 0x61, 0xff]));
const UTIMES = new PayloadWriter()
  .u8(0)
  .u64(1_500_000_000n)
  .u64(BigInt.asUintN(64, -1_000n))
  .blob(Buffer.from('/a'));

const open = (body: Buffer): Buffer => encodeFrame(makeFrame(FrameType.open, 1, 1, body));

const FROM_HOST: Readonly<Record<string, Buffer>> = {
  'open-exec': open(encodeExec(PLAIN).body),
  'open-exec-full': open(encodeExec(FULL).body),
  'open-exec-of-image': open(encodeExec({ ...PLAIN, argv: [], cwd: '' }).body),
  'open-connect-internet': open(encodeConnect(TARGETS.internet)),
  'open-connect-unix': open(encodeConnect(TARGETS.unix)),
  'open-connect-vsock': open(encodeConnect(TARGETS.vsock)),
  'open-files': open(encodeFiles('me')),
  'file-lstat': request(fileMessage(FileOp.stat, LSTAT)),
  'file-utimes': request(fileMessage(FileOp.utimes, UTIMES)),
  'file-write-file': request(
    writeRequest({
      ...{ flags: 0o1101, mode: 0o640, isAtomic: true, isFlushed: false, start: undefined },
      path: Buffer.from('/a'),
    }),
  ),
  'open-listen-internet': open(encodeListen({ target: TARGETS.internet, mode: 0o600 })),
  'open-listen-unix': open(encodeListen({ target: TARGETS.unix, mode: 0o666 })),
  'open-accept': open(encodeAccept({ listener: 7, connection: 9 })),
  'open-attach': open(encodeAttach(ATTACH)),
  'open-attach-input-only': encodeFrame(
    makeFrame(FrameType.open, 1, 1, encodeAttach({ ...ATTACH, isInputOnly: true })),
  ),
  ack: encodeFrame(makeFrame(FrameType.ack, 1, 1, encodeAck(1, 5_000_000_000))),
  detach: encodeFrame(makeFrame(FrameType.detach, 1, 1)),
  'list-commands': encodeFrame(makeFrame(FrameType.listCommands, 1, 1, new PayloadWriter().u32(129).done())),
  data: encodeFrame(makeFrame(FrameType.data, 1, 1, Buffer.from('abc'))),
  end: encodeFrame(makeFrame(FrameType.end, 1, 1)),
  cancel: encodeFrame(makeFrame(FrameType.cancel, 1, 1)),
  credit: encodeFrame(makeFrame(FrameType.credit, 1, 1, encodeCredit(1, 8192))),
  'set-env': encodeFrame(makeFrame(FrameType.setEnv, 1, 1, encodeSetEnv(VARIABLES))),
  'set-image': encodeFrame(makeFrame(FrameType.setImage, 1, 1, encodeSetImage(IMAGE))),
  signal: encodeFrame(makeFrame(FrameType.signal, 2, 1, encodeSignal({ stream: 1 }, 15))),
  'signal-by-id': encodeFrame(makeFrame(FrameType.signal, 2, 1, encodeSignal({ id: ID }, 15))),
  secrets: encodeFrame(makeFrame(FrameType.secrets, 1, 1, encodeSecrets(SECRETS))),
  resize: encodeFrame(makeFrame(FrameType.resize, 1, 1, encodeResize({ cols: 132, rows: 50 }))),
  metrics: encodeFrame(makeFrame(FrameType.metrics, 1, 1)),
};

function readMessages(payload: Buffer): unknown[] {
  const read: unknown[] = [];
  const reader = new MessageReader({
    onContent: (data) => read.push(data.toString()),
    onTree: (bytes) => read.push(bytes),
    onMessage: (type, body) => read.push([type, body.toString()]),
  });
  reader.push(payload);
  return read;
}
const ATTACHED = {
  pid: 4711,
  isDetached: true,
  hasTerminal: true,
  isInputEnded: false,
  isInputGone: false,
  hasReader: true,
  inputTaken: 77,
  inputCredit: 65_536,
  begin: { 1: 1_500, 2: 2 },
};
const RUNNING = {
  id: ID,
  pid: 4711,
  exit: undefined,
  isDetached: true,
  hasTerminal: false,
  isInputEnded: true,
  isInputGone: false,
  hasReader: false,
  startedUs: 1_700_000_000_000_000,
  kept: { 1: { first: 1, end: 262_145 }, 2: { first: 0, end: 0 } },
  text: 'sh -c date',
};
const ENDED = {
  ...RUNNING,
  id: 'fedcba9876543210',
  pid: 0,
  exit: { exitCode: null, signal: 9 },
  isDetached: false,
  isInputEnded: false,
  isInputGone: true,
  kept: { 1: { first: 0, end: 3 }, 2: { first: 0, end: 4 } },
  text: 'cat',
};

const FROM_GUEST: Readonly<Record<string, readonly [FrameType, (payload: Buffer) => unknown, unknown]>> = {
  'opened-exec': [FrameType.opened, (payload) => payload.readUInt32LE(), 4711],
  'opened-connect': [FrameType.opened, String, ''],
  'data-1': [FrameType.data1, String, 'out'],
  'data-2': [FrameType.data2, String, 'err'],
  'credit-to-host': [FrameType.creditToHost, decodeCredit, { channel: 0, bytes: 16_384 }],
  gone: [FrameType.gone, String, ''],
  'opened-attach': [FrameType.opened, decodeAttached, ATTACHED],
  commands: [FrameType.commands, decodeCommands, { next: 130, commands: [RUNNING, ENDED] }],
  'ended-exec-detached': [FrameType.ended, decodeCommandEnd, 'detached'],
  'ended-exec-code': [FrameType.ended, decodeCommandEnd, { exitCode: 3, signal: null }],
  'ended-exec-signal': [FrameType.ended, decodeCommandEnd, { exitCode: null, signal: 9 }],
  'end-to-host': [FrameType.endToHost, String, ''],
  'ended-connect-closed': [FrameType.ended, decodeClosed, false],
  'ended-connect-reset': [FrameType.ended, decodeClosed, true],
  'file-done': [FrameType.data1, readMessages, [[0x80, '']]],
  'file-data': [FrameType.data1, readMessages, ['text']],
  'file-failed': [
    FrameType.data1,
    (payload) => decodeFileFailed(payload.subarray(5)),
    { errno: 2, syscall: 'open', path: Buffer.from('/b') },
  ],
  failed: [FrameType.failed, decodeFailed, { errno: 'ENOENT', step: 'user' }],
  'metrics-answer': [FrameType.metricsAnswer, decodeMetrics, METRICS],
};

describe('the test vectors of the specification', () => {
  const vectors = readVectors();

  it('are all looked at here', () => {
    const known = [...Object.keys(FROM_HOST), ...Object.keys(FROM_GUEST)];
    expect(Object.keys(vectors).toSorted()).toEqual(known.toSorted());
  });

  it.each(Object.entries(FROM_HOST))('%s is what the client sends', (name, bytes) => {
    expect(bytes.toString('hex')).toBe(vectors[name]);
  });

  it.each(Object.entries(FROM_GUEST))('%s is what the client reads', (name, [type, decode, value]) => {
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors[name] ?? '', 'hex'));
    expect(frame).toMatchObject({ type, stream: 1, epoch: 1 });
    expect(frame && decode(frame.payload)).toEqual(value);
  });

  it('of listeners are what a scripted guest reads', () => {
    const bodyOf = (name: string): Buffer => {
      const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors[name] ?? '', 'hex'));
      return frame?.payload ?? Buffer.alloc(0);
    };
    expect(decodeListen(bodyOf('open-listen-internet'))).toEqual({ target: TARGETS.internet, mode: 0o600 });
    expect(decodeListen(bodyOf('open-listen-unix'))).toEqual({ target: TARGETS.unix, mode: 0o666 });
    expect(decodeAccept(bodyOf('open-accept'))).toEqual({ listener: 7, connection: 9 });
  });

  it('of metrics are what a scripted guest sends', () => {
    const answer = encodeFrame(makeFrame(FrameType.metricsAnswer, 1, 1, encodeMetrics(METRICS)));
    expect(answer.toString('hex')).toBe(vectors['metrics-answer']);
  });

  it('of commands are what a scripted guest reads', () => {
    for (const [name, message] of [
      ['open-exec', PLAIN],
      ['open-exec-full', FULL],
      ['open-exec-of-image', { ...PLAIN, argv: [], cwd: '' }],
    ] as const) {
      const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors[name] ?? '', 'hex'));
      expect(frame && decodeExec(frame.payload)).toEqual(message);
    }
  });

  it('of a file worker is what a scripted guest reads', () => {
    const hex = vectors['open-files'] ?? '';
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(hex, 'hex'));
    expect(frame && decodeFiles(frame.payload)).toBe('me');
  });

  it('of an environment is what a scripted guest reads', () => {
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors['set-env'] ?? '', 'hex'));
    expect(frame && decodeSetEnv(frame.payload)).toEqual(VARIABLES);
  });

  it('of an image is what a scripted guest reads', () => {
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors['set-image'] ?? '', 'hex'));
    expect(frame && decodeSetImage(frame.payload)).toEqual(IMAGE);
  });

  it('of an attachment are what a scripted guest reads', () => {
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors['open-attach'] ?? '', 'hex'));
    expect(frame && decodeAttach(frame.payload)).toEqual(ATTACH);
  });

  it('of secrets is what a scripted guest reads', () => {
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(vectors['secrets'] ?? '', 'hex'));
    expect(frame && decodeSecrets(frame.payload)).toEqual(SECRETS);
  });

  it.each(Object.entries(TARGETS))('of a connection to %s is what a scripted guest reads', (kind, target) => {
    const hex = vectors[`open-connect-${kind}`] ?? '';
    const [frame] = decodeFrames(new FrameDecoder(), Buffer.from(hex, 'hex'));
    expect(frame && decodeConnect(frame.payload)).toEqual(target);
  });
});
