import { join } from 'node:path';
import {
  AgentChannel,
  Ending,
  HttpClient,
  LOG_FILES,
  LogKeeper,
  reasonFromConsole,
  VmmLife,
  type FoundState,
  type HaltableVm,
  type HttpRequest,
  type PausableVm,
} from '@microvm/driver-kit';
import type { Limits } from '@microvm/runtime';
import { waitForSocket, type ProcessWatch } from '@microvm/native';
import type { MinimalVm } from '../host/vm-plan.js';
import { API_SOCKET } from '../process/command-line.js';

const LOG_LIMIT_BYTES = 64 * 1024;

/** One life of a VM: how one speaks to its VMM, and how that life ends. */
export class LiveVm extends VmmLife implements PausableVm, HaltableVm {
  readonly agent: AgentChannel;
  protected readonly ending: Ending;
  readonly #api: HttpClient;
  readonly #logs: LogKeeper;

  constructor(vm: MinimalVm, process: ProcessWatch) {
    const { directory, spec } = vm;
    super({ vmm: 'the VMM', vm, directory, process });
    // Guests of this driver have no agent: `guestAgent` is not among its capabilities.
    this.agent = new AgentChannel(() => Promise.reject(new Error('there is no agent')), vm);
    this.#api = new HttpClient({
      connect: () => waitForSocket({ path: join(directory, API_SOCKET), process }),
      exited: process.exited,
      faultIn: (content) => (content as { readonly fault?: unknown } | undefined)?.fault,
    });
    this.ending = new Ending(directory);
    void process.exited.then((exit) =>
      this.ending.settle(async () => (await reasonFromConsole(directory)) ?? 'vmm-exit', exit),
    );
    this.#logs = new LogKeeper(directory, [
      { file: LOG_FILES.console, limitBytes: spec.consoleLimitBytes },
      { file: LOG_FILES.vmmLog, limitBytes: LOG_LIMIT_BYTES },
    ]);
  }

  /** Rejects with `MICROVM_VMM_REJECTED`, `MICROVM_TIMEOUT`, `MICROVM_VMM_EXITED` or the signal's reason. */
  request(
    method: HttpRequest['method'],
    path: string,
    limits?: Limits & { body?: unknown },
  ): Promise<unknown> {
    const { body, ...rest } = limits ?? {};
    return this.translated(this.#api.send({ method, path, body }, rest));
  }

  async state(limits?: Limits): Promise<FoundState> {
    const { state } = (await this.request('GET', '/state', limits)) as { readonly state: string };
    // A boot or a restore that was broken off: there is no guest.
    return state === 'running' || state === 'paused' ? state : { ended: 'lost' };
  }

  async isRunning(limits: Limits): Promise<boolean> {
    return (await this.state(limits)) === 'running';
  }

  async holdCpus(limits: Limits): Promise<void> {
    await this.request('PUT', '/pause', limits);
  }

  async releaseCpus(limits: Limits): Promise<void> {
    await this.request('PUT', '/resume', limits);
  }

  async pressPowerButton(limits: Limits): Promise<void> {
    await this.request('PUT', '/power-button', limits);
  }

  /** Lets go: the VM runs on. */
  override close(): void {
    super.close();
    this.#api.close();
    this.#logs.close();
  }
}
