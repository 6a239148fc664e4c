import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { createInterface } from 'node:readline';
import type { ChildModule } from '../factory.js';
import type { CutKind } from './cut-kinds.js';
import type { CutCounts, CuttableDisk, PowerLab } from './power-lab.js';
import { PLACE, type Answer, type PowerCutTask } from './tasks.js';

/**
 * Hosts to be given a task, one after the other. The next one boots ahead: most of a task's time is the start
 * of its process.
 */
export class Hosts {
  readonly #lab: PowerLab;
  readonly #module: ChildModule;
  readonly #all = new Set<Host>();
  #next: Host | undefined;

  constructor(lab: PowerLab, module: ChildModule) {
    this.#lab = lab;
    this.#module = module;
  }

  take(): Host {
    const host = this.#next ?? this.boot();
    this.#next = this.boot();
    return host;
  }

  boot(env?: NodeJS.ProcessEnv): Host {
    const host = new Host(this.#lab.boot(this.#module, env));
    this.#all.add(host);
    void host.ended.finally(() => this.#all.delete(host));
    return host;
  }

  /** Ends all that run. */
  async dispose(): Promise<void> {
    this.#next = undefined;
    await Promise.all([...this.#all].map((host) => host.end()));
  }
}

/** How the power goes, and by which seed what survives is chosen. */
export interface HowToCut {
  readonly kind: CutKind;
  readonly seed: number;
}

/** A host that runs the suite's child process. */
export class Host {
  readonly #process: ChildProcess;
  readonly #place: Duplex;
  /** Nothing of the host is left; how its process ended. */
  readonly ended: Promise<string>;
  #answer: Answer | undefined;

  constructor(process: ChildProcess) {
    this.#process = process;
    this.#place = process.stdio[PLACE] as Duplex;
    // A host that is gone hears nothing; how it ended says why.
    this.#place.on('error', () => undefined);
    process.on('message', (answer: Answer) => (this.#answer = answer));
    // What was sent before the end has come when the channel is closed.
    const ended = Promise.all([once(process, 'exit'), once(process, 'disconnect')]);
    this.ended = ended.then(([[code, signal]]) => String(signal ?? `exit code ${code}`));
  }

  /** Does a task that ends; rejects with what the child says is wrong. */
  async run(task: PowerCutTask): Promise<Answer> {
    this.#process.send(task);
    const how = await this.ended;
    if (this.#answer === undefined) throw new Error(`the host ended by ${how}, without an answer`);
    if (this.#answer.problem !== undefined) throw new Error(this.#answer.problem);
    return this.#answer;
  }

  /** Does a task until it is in its step, cuts the power there, and ends the host. */
  async cut(task: PowerCutTask, disk: CuttableDisk, { kind, seed }: HowToCut): Promise<CutCounts> {
    const { first, survival } = kind;
    this.#process.send(task);
    const lines: AsyncIterator<string, undefined> = createInterface(this.#place)[Symbol.asyncIterator]();
    if ((await lines.next()).value !== 'here') {
      await this.ended;
      throw new Error(`the host did not reach its step: ${this.#answer?.problem ?? 'it ended'}`);
    }
    if (first !== 'nothing') {
      if (first === 'sync') await disk.cutAtFlush(survival, seed);
      this.#place.write(`${first}\n`);
    }
    const done = first === 'nothing' ? 'done' : (await lines.next()).value;
    const counts = await disk.cut(survival, seed);
    this.#place.write('die\n');
    await this.ended;
    if (done !== 'done') throw new Error(`the host could not ${first}: ${done}`);
    return counts;
  }

  /** By the end of its channel, which the child ends at. */
  async end(): Promise<void> {
    if (this.#process.connected) this.#process.disconnect();
    await this.ended;
  }
}
