import assert from 'node:assert';
import {
  AgentChannel,
  connectStream,
  hasCode,
  killVmm,
  LogKeeper,
  vmmExited,
  vmmFailure,
  within,
  type HaltableVm,
  type Limits,
  type PausableVm,
  type VmmName,
} from '@microvm/driver-kit';
import type { ProcessExit, ProcessIdentity, ProcessWatch } from '@microvm/native';
import { VmRuntimeError, type DriverVm, type VmEnding } from '@microvm/runtime';
import { FILES, pathOf } from '../host/paths.js';
import { QmpClient, type QmpCallOptions } from '../qmp/client.js';
import { QmpClosedError, QmpCommandError, QmpTimeoutError } from '../qmp/errors.js';
import type { QmpEvent } from '../qmp/wire.js';
import { EndingWatch } from './ending-watch.js';

// Of a socket whose listener ended.
const HANGUP_CODES = ['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE'];
const EXIT_AFTER_HANGUP_MS = 1000;
const VMM_LOG_LIMIT_BYTES = 256 * 1024;

type EventListener = (event: QmpEvent) => void;

/** One life of a VM: its QEMU process, the monitor, the agent's session, the bounds of its logs, and how it ends. */
export class LiveVm implements PausableVm, HaltableVm {
  readonly instanceId: string;
  readonly directory: string;
  readonly agent: AgentChannel;
  readonly process: ProcessWatch;
  readonly #name: VmmName;
  readonly #consoleLimitBytes: number;
  readonly #ending: EndingWatch;
  readonly #listeners = new Set<EventListener>();
  #qmp: QmpClient | undefined;
  #connecting: Promise<QmpClient> | undefined;
  #isClosed = false;
  #logs: LogKeeper | undefined;

  constructor(vm: DriverVm, directory: string, process: ProcessWatch) {
    this.instanceId = vm.instanceId;
    this.directory = directory;
    this.process = process;
    this.#name = { vmm: 'QEMU', vmId: vm.vmId, instanceId: vm.instanceId };
    this.#consoleLimitBytes = vm.spec.consoleLimitBytes;
    this.agent = new AgentChannel(() => connectStream(pathOf(directory, 'agentSocket')), vm.vmId);
    this.#ending = new EndingWatch(directory, process.exited);
  }

  get identity(): ProcessIdentity {
    return this.process.identity;
  }

  /** Resolves once, however this life ends. */
  get ended(): Promise<VmEnding> {
    return this.#ending.ended;
  }

  get hasEnded(): boolean {
    return this.#ending.hasEnded;
  }

  /** Tells of an end that nobody asked for: once, also when it has come already. */
  onUnaskedEnd(report: (ending: VmEnding) => void): void {
    this.#ending.onUnasked(report);
  }

  /** From now on the end is asked for. */
  expectEnd(): void {
    this.#ending.expect();
  }

  /** Connects to the monitor, and keeps the logs within their bounds from then on. */
  async connect(signal?: AbortSignal): Promise<void> {
    await this.version(signal);
    this.#logs ??= this.#keepLogs();
  }

  /** QEMU's version, as its greeting says. */
  async version(signal?: AbortSignal): Promise<string> {
    try {
      return (await this.#monitor(signal)).version;
    } catch (error) {
      throw await this.#translate(error);
    }
  }

  /**
   * Runs a QMP command. Rejects with `MICROVM_VMM_REJECTED`, `MICROVM_TIMEOUT`, `MICROVM_VMM_EXITED` or the signal's reason.
   */
  async command(
    name: string,
    args: Readonly<Record<string, unknown>> = {},
    options: QmpCallOptions = {},
  ): Promise<unknown> {
    try {
      const monitor = await this.#monitor(options.signal);
      return await monitor.execute(name, args, options);
    } catch (error) {
      throw await this.#translate(error);
    }
  }

  /** `running`, `paused`, `postmigrate`, `inmigrate`, `shutdown`, `guest-panicked` and what else QEMU's RunState has. */
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

  /** Ends the process; resolves when it is gone. */
  async kill(): Promise<void> {
    this.expectEnd();
    await killVmm(this.process, this.#name);
  }

  /** Lets go: the VM runs on. */
  close(): void {
    this.expectEnd();
    this.#isClosed = true;
    this.#logs?.close();
    this.agent.close();
    this.#qmp?.close();
    this.process.close();
  }

  /** What the caller gets when the process is gone. */
  exited(exit: ProcessExit): Promise<VmRuntimeError> {
    return vmmExited(this.#name, exit, this.directory);
  }

  async #monitor(signal: AbortSignal | undefined): Promise<QmpClient> {
    if (this.#qmp?.isClosed === false) return this.#qmp;
    // QEMU serves one client: callers share an attempt, which has a deadline of its own.
    this.#connecting ??= this.#connectMonitor().finally(() => (this.#connecting = undefined));
    return within(this.#connecting, { signal }, () => assert.fail('no time-out was set'));
  }

  async #connectMonitor(): Promise<QmpClient> {
    const qmp = await QmpClient.connect({
      path: pathOf(this.directory, 'qmpSocket'),
      exited: this.process.exited,
      onEvent: (event) => this.#onEvent(event),
    });
    if (this.#isClosed) qmp.close();
    this.#qmp = qmp;
    return qmp;
  }

  #onEvent(event: QmpEvent): void {
    this.#ending.observe(event);
    for (const listener of this.#listeners) listener(event);
  }

  #keepLogs(): LogKeeper {
    return new LogKeeper(this.directory, [
      { file: FILES.console, limitBytes: this.#consoleLimitBytes },
      { file: FILES.vmmLog, limitBytes: VMM_LOG_LIMIT_BYTES },
    ]);
  }

  async #translate(error: unknown): Promise<unknown> {
    if (error instanceof QmpCommandError) {
      const { command: request, errorClass: status, description: faultMessage } = error;
      return new VmRuntimeError('MICROVM_VMM_REJECTED', `QEMU of "${this.#name.vmId}": ${error.message}`, {
        details: { request, status, faultMessage },
        cause: error,
      });
    }
    if (error instanceof QmpTimeoutError) {
      const details = { operation: `QMP ${error.command}`, timeoutMs: error.timeoutMs };
      const message = `QEMU of "${this.#name.vmId}": ${error.message}`;
      return new VmRuntimeError('MICROVM_TIMEOUT', message, { details, cause: error });
    }
    if (!(error instanceof QmpClosedError) && !hasCode(error, ...HANGUP_CODES)) return error;
    const exit = await within<ProcessExit | undefined>(
      this.process.exited,
      { timeoutMs: EXIT_AFTER_HANGUP_MS },
      () => undefined,
    );
    return exit === undefined ? vmmFailure(this.#name, (error as Error).message, error) : this.exited(exit);
  }
}
