import assert from 'node:assert/strict';
import { ScriptedSettings } from '@microvm/guest';
import type {
  DriverVm,
  Environment,
  GuestSecret,
  ImageConfig,
  ResolvedVmSpec,
  VmEnding,
} from '@microvm/runtime';
import { ConsoleLog } from './console-log.js';
import { type DiskContents, type DiskOptions, Disks, ROOT_DRIVE } from './disks.js';
import type { GuestMemory } from '../guest/guest-script.js';
import { showSecrets } from '../guest/secret-files.js';

/** Lines of the console that an ending shows. */
export const LOG_LINES = 20;

/**
 * - `incomplete`: `prepare` or `restore` has not succeeded; only `halt` and `release` may follow.
 * - `cold`: its resources are there, no VMM is.
 * - `booting`: `boot` has not succeeded; only `halt` and `release` may follow.
 * - `running`, `paused`: as the states of the contract.
 * - `ended`: the guest or its VMM ended by itself, and nobody has cleared up yet.
 */
export type Condition = 'incomplete' | 'cold' | 'booting' | 'running' | 'paused' | 'ended';

/** A driver method at work on a VM. */
export interface Turn {
  readonly method: string;
  readonly signal: AbortSignal | undefined;
  /** Hung by a fault: a real driver would not know it, the engine may give it up. */
  isHanging: boolean;
}

/** All that a snapshot takes of a guest's memory. */
export interface MemoryImage {
  readonly memory: GuestMemory;
  /** What the agent gives to commands. Absent in an image of an earlier version. */
  readonly environment?: Environment;
  /** What the VM's image says of commands. */
  readonly image?: ImageConfig;
  /** Of a snapshot that was allowed to hold them: values in base64. */
  readonly secrets?: Readonly<Record<string, { readonly base64: string; readonly owner: string }>>;
  readonly epoch: number;
}

/** One VM in memory. Kept small: there may be tens of thousands, most of which are never looked into. */
export class MemoryVm {
  readonly instanceId: string;
  readonly spec: ResolvedVmSpec;
  disks: Disks;
  readonly console: ConsoleLog;
  condition: Condition = 'incomplete';
  memory: GuestMemory = {};
  /** What the agent was told to give to commands, which is a part of the guest's memory. */
  settings = this.#newSettings();
  epoch = 1;
  /** The VM was restored, and its workload has not been let go since. */
  isFrozen = false;
  /**
   * Memory and disks as they were when the VM was paused: a script's code cannot be held still, its effects
   * can.
   */
  held: { readonly memory: string; readonly disks: DiskContents } | undefined;
  /** Snapshot whose memory this life of the guest came from. */
  memoryFrom: string | undefined;
  /** How this life of the guest ended by itself. */
  ending: VmEnding | undefined;
  turn: Turn | undefined;
  /** Its files of an earlier process are being read. */
  loading: Promise<void> | undefined;
  /** Called when the condition changes; only while somebody waits for that. */
  watchers: Set<() => void> | undefined;
  /** What of the disks and of the console its files have. */
  savedDisks = 0;
  savedConsole = 0;

  readonly #diskOptions: DiskOptions;

  constructor(of: Pick<DriverVm, 'instanceId' | 'spec'>, disks: DiskContents, diskOptions: DiskOptions) {
    const { instanceId, spec } = of;
    this.instanceId = instanceId;
    this.spec = spec;
    this.#diskOptions = diskOptions;
    this.disks = new Disks(disks, diskOptions);
    this.console = new ConsoleLog(spec.console ? spec.consoleLimitBytes : 0);
  }

  /** A VMM holds a guest, or what is left of one. */
  get hasVmm(): boolean {
    return this.condition !== 'incomplete' && this.condition !== 'cold';
  }

  /** Has other disks from here on. */
  loadDisks(contents: DiskContents): void {
    this.disks = new Disks(contents, this.#diskOptions);
  }

  become(condition: Condition): void {
    this.condition = condition;
    for (const watcher of [...(this.watchers ?? [])]) watcher();
  }

  beginLife(memory: GuestMemory, epoch: number): void {
    this.memory = memory;
    this.#endSettings();
    this.epoch = epoch;
    this.ending = undefined;
    this.held = undefined;
  }

  #newSettings(): ScriptedSettings {
    const settings: ScriptedSettings = new ScriptedSettings(() => this.#showSecrets(settings));
    return settings;
  }

  /** What an earlier life of the guest was told is gone. */
  #endSettings(): void {
    if (this.settings.secrets.size > 0) this.settings.takeSecrets({ keep: [], give: new Map() });
    this.settings = this.#newSettings();
  }

  #showSecrets(settings: ScriptedSettings): void {
    const files = this.disks.files(ROOT_DRIVE, this.spec);
    if (files !== undefined) showSecrets(files, settings);
  }

  /** Takes the memory of a snapshot, copied: each VM goes its own way from here. */
  loadMemory(image: MemoryImage): void {
    this.beginLife(structuredClone(image.memory), image.epoch);
    this.settings.environment = image.environment ?? {};
    this.settings.image = image.image;
    this.settings.takeSecrets({ keep: [], give: secretsOf(image) });
    this.isFrozen = true;
  }

  /** The VMM is gone, and the memory with it. */
  endLife(): void {
    this.memory = {};
    this.#endSettings();
    this.held = undefined;
    this.isFrozen = false;
    this.memoryFrom = undefined;
  }

  hold(): void {
    this.held = { memory: JSON.stringify(this.memory), disks: this.disks.contents };
    this.become('paused');
  }

  letGo(): void {
    this.held = undefined;
    this.isFrozen = false;
    this.become('running');
  }
}

/** The VM that the rules have made sure is there. */
export function present(vm: MemoryVm | undefined): MemoryVm {
  assert(vm !== undefined);
  return vm;
}

function secretsOf({ secrets = {} }: MemoryImage): ReadonlyMap<string, GuestSecret> {
  const entries = Object.entries(secrets).map(([name, { base64, owner }]) => {
    return [name, { bytes: Buffer.from(base64, 'base64'), owner }] as const;
  });
  return new Map(entries);
}
