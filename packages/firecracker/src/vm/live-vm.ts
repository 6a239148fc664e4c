import { join } from 'node:path';
import {
  AgentChannel,
  Ending,
  LogKeeper,
  reasonFromConsole,
  VmmLife,
  type HaltableVm,
  type PausableVm,
  type SendOptions,
} from '@microvm/driver-kit';
import { waitForSocket, waitForVsock, type ProcessWatch, type VsockListener } from '@microvm/native';
import { MIB, type Limits, type VmEnding } from '@microvm/runtime';
import { ApiClient } from '../api/client.js';
import type { ActionType, ApiRequest, InstanceInfo, SnapshotLoad } from '../api/wire.js';
import { VM_FILES, VMM_FILES } from '../host/paths.js';
import { jailFolder } from '../host/vm-plan.js';
import type { FirecrackerVm } from './firecracker-vm.js';
import type { Life } from './life.js';
import { noteOomKill } from './oom-kill.js';
import type { MetricsLedger } from '../metrics/metrics-ledger.js';

/** The port of the agent in the guest, and the port of the host that the agent dials after boot. */
export const AGENT_PORT = 1024;
const LOG_LIMIT_BYTES = 256 * 1024;
// Firecracker writes a line of some 12 KiB each minute.
const METRICS_LIMIT_BYTES = MIB;

export interface LiveVmOptions {
  readonly vm: FirecrackerVm;
  readonly stateDir: string;
  readonly process: ProcessWatch;
  readonly life: Life;
  /** The ledger that adds up the VM's metrics. */
  readonly ledger: MetricsLedger;
  /** The port on which the agent of a booting guest will report. */
  readonly listener?: VsockListener | undefined;
}

/** One life of a VM on Firecracker: with the API, and the bounds of its logs. */
export class LiveVm extends VmmLife implements PausableVm, HaltableVm {
  readonly vmmFolder: string;
  readonly agent: AgentChannel;
  readonly listener: VsockListener | undefined;
  protected readonly ending: Ending;
  readonly #life: Life;
  readonly #api: ApiClient;
  #metricsApi: ApiClient | undefined;
  readonly #logs: LogKeeper;
  /**
   * The state of the CPUs after the last call that succeeded; undefined: ask for it. Nobody else can reach
   * the API.
   */
  #cpus: 'running' | 'held' | undefined;

  constructor(options: LiveVmOptions) {
    const { vm, stateDir, process, life, listener, ledger } = options;
    const { directory, vmmFolder, cgroup } = vm;
    super({ vmm: 'Firecracker', vm, directory, process, others: foldersBeside(stateDir, vm) });
    this.vmmFolder = vmmFolder;
    this.listener = listener;
    this.#life = life;
    this.agent = new AgentChannel(({ signal, timeoutMs }) => this.#dialAgent(signal, timeoutMs), vm);
    this.#api = this.#makeApi();
    this.ending = new Ending(directory);
    void process.exited.then((exit) => {
      const reason = (): Promise<VmEnding['reason']> =>
        noteOomKill(directory, cgroup, exit).then(() => this.#reason());
      this.ending.settle(reason, exit);
    });
    this.#logs = keepLogs(directory, vm.spec.consoleLimitBytes, ledger);
  }

  /**
   * Makes a request of the API. Rejects with `MICROVM_VMM_REJECTED`, `MICROVM_TIMEOUT`, `MICROVM_VMM_EXITED`
   * or the signal's reason.
   */
  request(request: ApiRequest, options?: SendOptions): Promise<unknown> {
    return this.translated(this.#api.send(request, options));
  }

  /**
   * Makes requests in their order without waiting for each answer. Rejects as `request` does, with the first
   * that failed.
   */
  async requestAll(requests: readonly ApiRequest[], options?: Limits): Promise<void> {
    const answers = requests.map((request) => this.request(request, { ...options, waits: false }));
    for (const answer of answers) answer.catch(() => undefined);
    for (const answer of answers) await answer;
  }

  act(action: ActionType, options?: Limits): Promise<void> {
    return this.translated(this.#api.act(action, options));
  }

  /**
   * Has Firecracker write its metrics to the file; refused before the boot. Rejects as the API does. The
   * request has a connection of its own, because to give up one request closes its connection for all others,
   * and this request may wait behind a dump of memory.
   */
  flushMetrics(options: Limits): Promise<void> {
    this.#metricsApi ??= this.#makeApi();
    return this.#metricsApi.act('FlushMetrics', options);
  }

  async state(options?: Limits): Promise<InstanceInfo['state']> {
    return (await this.translated(this.#api.describe(options))).state;
  }

  /** Cold boot of what was configured. */
  async start(options: Limits): Promise<void> {
    await this.act('InstanceStart', options);
    this.#cpus = 'running';
  }

  /** Loads a snapshot; its guest stands still. */
  async load(body: SnapshotLoad & { readonly resume_vm: false }, options: Limits): Promise<void> {
    await this.request({ method: 'PUT', path: '/snapshot/load', body }, options);
    this.#cpus = 'held';
  }

  async isRunning(limits: Limits): Promise<boolean> {
    if (this.#cpus !== undefined && !this.hasEnded) return this.#cpus === 'running';
    return (await this.state(limits)) === 'Running';
  }

  async holdCpus(limits: Limits): Promise<void> {
    // A call that breaks off may have been carried out or not.
    this.#cpus = undefined;
    await this.translated(this.#api.setState('Paused', limits));
    this.#cpus = 'held';
  }

  async releaseCpus(limits: Limits): Promise<void> {
    this.#cpus = undefined;
    await this.translated(this.#api.setState('Resumed', limits));
    this.#cpus = 'running';
  }

  /** Ctrl-Alt-Del: the only button that Firecracker has. */
  pressPowerButton(limits: Limits): Promise<void> {
    return this.act('SendCtrlAltDel', limits);
  }

  /** Lets go of the life: the VM runs on. */
  override close(): void {
    super.close();
    this.#logs.close();
    this.#api.close();
    this.#metricsApi?.close();
    this.listener?.close().catch(() => undefined);
  }

  /**
   * Firecracker exits with 0 after a power-off, a reboot and a panic alike: what the guest said last is what
   * tells, on its console or, where that is thrown away, to us. Without a word of farewell the VMM ended by
   * itself.
   */
  async #reason(): Promise<VmEnding['reason']> {
    const said = await reasonFromConsole(this.directory, this.#life.consoleStartBytes);
    return said ?? (await this.agent.farewell()) ?? 'vmm-exit';
  }

  #makeApi(): ApiClient {
    const { vmmFolder, process } = this;
    const connect = () => waitForSocket({ path: join(vmmFolder, VMM_FILES.apiSocket), process });
    return new ApiClient({ connect, exited: process.exited });
  }

  #dialAgent(signal: AbortSignal | undefined, timeoutMs: number): ReturnType<typeof waitForVsock> {
    return waitForVsock({
      path: join(this.vmmFolder, VMM_FILES.vsock),
      port: AGENT_PORT,
      deadline: timeoutMs,
      process: this.process,
      ...(signal === undefined ? {} : { signal }),
    });
  }
}

/** What a VM has outside of its own folder. */
function foldersBeside(stateDir: string, { instanceId, plan, cgroup }: FirecrackerVm): readonly string[] {
  return [
    ...(plan.uid === null ? [] : [jailFolder(stateDir, instanceId)]),
    ...(cgroup === undefined ? [] : [cgroup]),
  ];
}

function keepLogs(directory: string, consoleLimitBytes: number, ledger: MetricsLedger): LogKeeper {
  return new LogKeeper(directory, [
    { file: VM_FILES.console, limitBytes: consoleLimitBytes },
    { file: VM_FILES.vmmLog, limitBytes: LOG_LIMIT_BYTES },
    {
      file: VM_FILES.metrics,
      limitBytes: METRICS_LIMIT_BYTES,
      beforeDiscard: () => ledger.keepUp(),
    },
  ]);
}
