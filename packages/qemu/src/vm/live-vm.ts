import assert from 'node:assert';
import {
  AgentChannel,
  ConnectionClosedError,
  connectStream,
  hasCode,
  LogKeeper,
  VmmLife,
  type HaltableVm,
  type PausableVm,
} from '@microvm/driver-kit';
import type { ProcessWatch } from '@microvm/native';
import { type Limits, within } from '@microvm/runtime';
import { FILES, pathOf } from '../host/paths.js';
import { QmpClient, type QmpCallOptions } from '../qmp/client.js';
import type { QmpEvent } from '../qmp/wire.js';
import { EndingWatch } from './ending-watch.js';
import type { QemuVm } from './qemu-vm.js';

// Errors of a connect to a socket whose listener ended.
const HANGUP_CODES = ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE'];
const VMM_LOG_LIMIT_BYTES = 256 * 1024;

type EventListener = (event: QmpEvent) => void;

/** One life of a VM on QEMU: with the monitor, and the bounds of its logs. */
export class LiveVm extends VmmLife implements PausableVm, HaltableVm {
  readonly agent: AgentChannel;
  protected readonly ending: EndingWatch;
  readonly #consoleLimitBytes: number;
  readonly #listeners = new Set<EventListener>();
  #qmp: QmpClient | undefined;
  #connecting: Promise<QmpClient> | undefined;
  #isClosed = false;
  #logs: LogKeeper | undefined;

  constructor(vm: QemuVm, process: ProcessWatch) {
    const { directory } = vm;
    super({ vmm: 'QEMU', vm, directory, process });
    this.#consoleLimitBytes = vm.spec.consoleLimitBytes;
    this.agent = new AgentChannel(() => connectStream(pathOf(directory, 'agentSocket')), vm);
    this.ending = new EndingWatch(directory, process.exited);
  }

  /** Connects to the monitor, and keeps the logs within their bounds from then on. */
  async connect(signal?: AbortSignal): Promise<void> {
    await this.version(signal);
    this.#logs ??= this.#keepLogs();
  }

  /** QEMU's version, as its greeting says. */
  async version(signal?: AbortSignal): Promise<string> {
    return (await this.translated(this.#monitor(signal))).version;
  }

  /**
   * Runs a QMP command. Rejects with `MICROVM_VMM_REJECTED`, `MICROVM_TIMEOUT`, `MICROVM_VMM_EXITED` or the
   * signal's reason.
   */
  command(
    name: string,
    args: Readonly<Record<string, unknown>> = {},
    options: QmpCallOptions = {},
  ): Promise<unknown> {
    const monitor = this.#monitor(options.signal);
    return this.translated(monitor.then((qmp) => qmp.execute(name, args, options)));
  }

  /**
   * `running`, `paused`, `postmigrate`, `inmigrate`, `shutdown`, `guest-panicked` and what else QEMU's
   * RunState has.
   */
  async status(options: QmpCallOptions = {}): Promise<string> {
    const answer = (await this.command('query-status', {}, options)) as { readonly status?: unknown };
    return String(answer.status);
  }

  async isRunning(limits: Limits): Promise<boolean> {
    return (await this.status(limits)) === 'running';
  }

  /** QEMU answers when the disks' writes in flight are done. */
  async holdCpus(limits: Limits): Promise<void> {
    await this.command('stop', {}, limits);
  }

  async releaseCpus(limits: Limits): Promise<void> {
    await this.command('cont', {}, limits);
  }

  async pressPowerButton(limits: Limits): Promise<void> {
    await this.command('system_powerdown', {}, limits);
  }

  /** Calls back for each event of QEMU; the answer stops that. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Lets go of the life: the VM runs on. */
  override close(): void {
    super.close();
    this.#isClosed = true;
    this.#logs?.close();
    this.#qmp?.close();
  }

  async #monitor(signal: AbortSignal | undefined): Promise<QmpClient> {
    if (this.#qmp?.isClosed === false) return this.#qmp;
    // QEMU serves one client, so callers share an attempt, which has a deadline of its own.
    this.#connecting ??= this.#connectMonitor().finally(() => (this.#connecting = undefined));
    return within(this.#connecting, { signal }, () => assert.fail('no time-out was set'));
  }

  async #connectMonitor(): Promise<QmpClient> {
    const qmp = await QmpClient.connect({
      path: pathOf(this.directory, 'qmpSocket'),
      exited: this.process.exited,
      onEvent: (event) => this.#onEvent(event),
    }).catch((error: unknown) => {
      throw hasCode(error, ...HANGUP_CODES)
        ? new ConnectionClosedError((error as Error).message, error)
        : error;
    });
    if (this.#isClosed) qmp.close();
    this.#qmp = qmp;
    return qmp;
  }

  #onEvent(event: QmpEvent): void {
    this.ending.observe(event);
    for (const listener of this.#listeners) listener(event);
  }

  #keepLogs(): LogKeeper {
    return new LogKeeper(this.directory, [
      { file: FILES.console, limitBytes: this.#consoleLimitBytes },
      { file: FILES.vmmLog, limitBytes: VMM_LOG_LIMIT_BYTES },
    ]);
  }
}
