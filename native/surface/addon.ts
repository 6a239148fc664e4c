import type { Started } from './calls.js';
import type { CgroupEnd } from './cgroup.js';
import type { CopyResult } from './copy.js';
import type { FileDigest } from './digest.js';
import type { PipeEnds } from './descriptors.js';
import type { DiscardResult } from './discard.js';
import type { RemovedTree } from './folders.js';
import type { JailPlan, StagedJail } from './jail.js';
import type { KvmReport } from './kvm.js';
import type { FlattenedImage } from './layers.js';
import type { AddressInfo, LinkInfo, RouteInfo } from './network-lists.js';
import type { ProcessIdentity } from './process.js';
import type { TreeState } from './trees.js';
import type { ProcessQuery, ProcessSearchResult } from './search.js';

/** A descriptor on its way to us: see {@link Addon.claim}. */
export interface DeliveredDescriptor {
  readonly id: number;
  readonly fd: number;
}

/** A process under watch, by its number. */
export interface AddonProcess {
  readonly id: number;
  readonly identity: ProcessIdentity;
  readonly exited: Promise<{ readonly exitCode: number | null | 'unknown'; readonly signal: number | null }>;
}

/** The options of a wait for a connection. */
export interface WaitRequest {
  readonly path: string;
  readonly port?: number;
  readonly deadline: number | undefined;
  readonly process: ProcessIdentity | undefined;
}

/** A request about a namespace; the addon checks its fields. */
type NetworkRequest = object;

/**
 * The functions of the addon (`src/binding`), each with the arguments that it reads and what it yields. They
 * check their arguments and throw a TypeError; the public functions in front of them resolve paths, know
 * signals, and name things by objects instead of numbers.
 */
export interface Addon {
  readonly acceptSocket: (listener: number, request: WaitRequest) => Started<DeliveredDescriptor>;
  readonly addAddress: (request: NetworkRequest) => Started<void>;
  readonly addRoute: (request: NetworkRequest) => Started<void>;
  readonly bootId: () => string;
  readonly cancelJob: (id: number) => void;
  readonly cancelWait: (id: number) => void;
  /** An object that the addon delivers goes with the environment unless JavaScript has claimed it. */
  readonly claim: (id: number) => void;
  readonly closeDescriptor: (fd: number) => void;
  readonly closeListener: (id: number) => Promise<void>;
  readonly closeTree: (id: number) => void;
  readonly closeProcess: (id: number) => void;
  readonly connectUnix: (path: string) => Promise<DeliveredDescriptor>;
  readonly copyFile: (from: string, to: string, options: object) => Started<CopyResult>;
  readonly createCgroup: (path: string, files: string[], values: string[]) => Started<void>;
  readonly createNetns: (path: string) => Started<void>;
  readonly createNetworkSlot: (request: NetworkRequest) => Started<void>;
  readonly createTap: (request: NetworkRequest) => Started<void>;
  readonly createVeth: (request: NetworkRequest) => Started<void>;
  readonly deleteAddress: (request: NetworkRequest) => Started<boolean>;
  readonly deleteLink: (request: NetworkRequest) => Started<boolean>;
  readonly deleteNetns: (path: string, timeoutMs: number) => Started<boolean>;
  readonly deleteNetworkSlot: (request: NetworkRequest) => Started<boolean>;
  readonly deleteRoute: (request: NetworkRequest) => Started<boolean>;
  readonly digestFile: (path: string, options: object) => Started<FileDigest>;
  readonly discardFront: (path: string, keepBytes: number) => Promise<DiscardResult>;
  readonly feedTree: (id: number, bytes: Uint8Array) => Promise<TreeState>;
  readonly flattenLayers: (
    layers: readonly object[],
    workDir: string,
    output: number,
    options: object,
  ) => Started<FlattenedImage>;
  readonly giveBack: (id: number) => void;
  readonly holdProcess: (id: number, held: boolean) => void;
  readonly killCgroup: (path: string, timeoutMs: number) => Started<CgroupEnd>;
  readonly killProcess: (id: number, signal: number) => boolean;
  readonly listAddresses: (request: NetworkRequest) => Started<AddressInfo[]>;
  readonly listLinks: (request: NetworkRequest) => Started<LinkInfo[]>;
  readonly listRoutes: (request: NetworkRequest) => Started<RouteInfo[]>;
  readonly listenSocket: (options: object) => Promise<number>;
  readonly listenUnix: (path: string, mode: number, backlog: number) => Promise<DeliveredDescriptor>;
  readonly lockDirectory: (path: string) => Promise<number>;
  readonly netnsExists: (path: string) => Started<boolean>;
  readonly openBeneath: (
    root: string,
    name: string,
    flags: number,
    mode: number,
  ) => Started<DeliveredDescriptor>;
  readonly openPipe: () => PipeEnds;
  readonly openTreeFeed: (target: string, options: object) => number;
  readonly openTreeSource: (path: string, options: object) => number;
  readonly probeKvm: () => Promise<KvmReport>;
  readonly processIdentity: (pid: number) => ProcessIdentity | undefined;
  readonly putDurable: (source: object, target: string, options: object) => Started<CopyResult>;
  readonly readTree: (id: number) => Promise<Buffer | null>;
  readonly removeDurable: (path: string) => Promise<void>;
  readonly removeTree: (root: string) => Started<RemovedTree>;
  readonly renameDurable: (from: string, to: string) => Promise<void>;
  readonly searchProcesses: (query: ProcessQuery) => Promise<ProcessSearchResult>;
  readonly sendDescriptors: (socket: number, data: Uint8Array, fds: readonly number[]) => void;
  readonly setLink: (request: NetworkRequest) => Started<void>;
  readonly socketPair: () => readonly [number, number];
  readonly spawnProcess: (request: object) => Promise<AddonProcess>;
  readonly stageJail: (plan: JailPlan) => Started<StagedJail>;
  /** Before any other call. */
  readonly takeTurns: (inTurn: typeof setImmediate) => void;
  readonly unlockDirectory: (id: number) => void;
  readonly waitForSocket: (request: WaitRequest) => Started<DeliveredDescriptor>;
  readonly waitForVsock: (request: WaitRequest) => Started<DeliveredDescriptor>;
  readonly watchProcess: (identity: ProcessIdentity) => AddonProcess;
  readonly writeDurable: (path: string, data: Uint8Array | string, keepSpare: boolean) => Promise<void>;
}
