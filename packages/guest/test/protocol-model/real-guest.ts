import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVmRuntimeError } from '@microvm/runtime';
import { RealAgent } from '../real-agent.js';
import { ReturningGuest } from '../returning-guest.js';

/**
 * The real agent with sessions that are cut, calls that are at work meanwhile, and what these calls found
 * wrong.
 */
export class RealGuest {
  readonly dir = mkdtempSync(join(tmpdir(), 'microvm-model-'));
  readonly echoPath = join(this.dir, 'echo');
  readonly #agent = new RealAgent();
  readonly #echo: Server;
  readonly #clients = new Set<Socket>();
  readonly #atWork = new Set<Promise<void>>();
  readonly #lanes = new Map<string, Promise<void>>();
  readonly #wrong: unknown[] = [];
  #guest: ReturningGuest;
  #epoch = 1;
  #cuts = 0;
  #isCutting = false;

  private constructor(echo: Server) {
    this.#echo = echo;
    this.#guest = new ReturningGuest(() => this.#agent.port.plug());
    echo.on('connection', (client) => {
      this.#clients.add(client);
      client.on('error', () => undefined);
      client.once('close', () => this.#clients.delete(client));
      client.pipe(client);
    });
  }

  static async begin(): Promise<RealGuest> {
    const guest = new RealGuest(createServer({ allowHalfOpen: true }));
    await new Promise<void>((resolve) => guest.#echo.listen(guest.echoPath, resolve));
    return guest;
  }

  get guest(): ReturningGuest {
    return this.#guest;
  }

  /** Cuts that have begun, those of new lives too. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Lives of the guest so far. */
  get lives(): number {
    return this.#epoch;
  }

  /** Lets a call go on beside others; those with the same lane run one after the other. */
  begin(lane: string | undefined, call: () => Promise<void>): void {
    const before = lane === undefined ? Promise.resolve() : (this.#lanes.get(lane) ?? Promise.resolve());
    const running = before.then(call).catch((error: unknown) => void this.#wrong.push(error));
    if (lane !== undefined) this.#lanes.set(lane, running);
    this.#atWork.add(running);
    void running.then(() => this.#atWork.delete(running));
  }

  /** Waits for all calls that are at work. Throws what the first of them found wrong. */
  async settle(): Promise<void> {
    while (this.#atWork.size > 0) await Promise.all(this.#atWork);
    if (this.#wrong.length > 0) throw this.#wrong[0];
  }

  /** True for the one error that a cut may bring to a call that was at work, or began beside the cut. */
  isOfCut(error: unknown, cutsBefore: number): boolean {
    const wasCut = this.#isCutting || this.#cuts > cutsBefore;
    return wasCut && isVmRuntimeError(error, 'MICROVM_GUEST_UNREACHABLE');
  }

  async cut(): Promise<void> {
    await this.#cutting(() => this.#guest.cut());
  }

  /** As a snapshot does it: the workload is frozen, the session lost, and the workload goes on. */
  async snapshot(): Promise<void> {
    await (await this.#guest.client()).freeze({ timeoutMs: 600_000 });
    await this.cut();
    await (await this.#guest.client()).thaw({ timeoutMs: 600_000 });
  }

  /** As a restore does it: the workload goes on in a life that knows no stream of the one before. */
  async restore(): Promise<void> {
    await this.#cutting(async () => {
      await (await this.#guest.client()).freeze({ timeoutMs: 600_000 });
      this.#epoch += 1;
      const before = this.#guest;
      await (await before.client()).thaw({ epoch: this.#epoch, timeoutMs: 600_000 });
      await before.close();
      this.#guest = new ReturningGuest(() => this.#agent.port.plug());
    });
  }

  async #cutting(cut: () => Promise<void>): Promise<void> {
    this.#cuts += 1;
    this.#isCutting = true;
    await cut();
    this.#isCutting = false;
    // For the calls that began meanwhile.
    this.#cuts += 1;
  }

  async end(): Promise<void> {
    await this.#guest.close();
    await this.#agent.stop();
    for (const client of this.#clients) client.destroy();
    await new Promise((resolve) => this.#echo.close(resolve));
    rmSync(this.dir, { recursive: true });
  }
}
