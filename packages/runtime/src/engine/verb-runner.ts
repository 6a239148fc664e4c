import { closest } from 'fastest-levenshtein';
import { invalidArgument, unsupported } from '../contract/errors.js';
import { parseOperationOptions, type OperationOptions } from '../contract/options.js';
import type { JobKind, VerbAnswer, VerbArgs } from '../contract/verbs.js';
import { EndingObserver } from './ending-observer.js';
import type { EngineContext } from './engine-context.js';
import type { Job } from './job.js';
import type { JobRunner } from './job-runner.js';
import type { JobResult } from './record.js';
import type { Subject, Verb } from './verb.js';
import { VERBS } from './verbs.js';

/** Makes a job of each call of a verb, as `VERBS` says. */
export class VerbRunner {
  readonly observer: EndingObserver;
  readonly #context: EngineContext;
  readonly #jobs: JobRunner;

  constructor(context: EngineContext, jobs: JobRunner) {
    this.#context = context;
    this.#jobs = jobs;
    this.observer = new EndingObserver(context, (kind, vm) => {
      const { instanceId, vmId } = vm.record;
      return this.#runJob(VERBS[kind], { instanceId }, { vmId, options: {} });
    });
  }

  /** Checks arguments, capabilities and options, in this order, and runs the verb as a job. */
  async run<K extends JobKind>(kind: K, args: unknown, options: unknown): Promise<VerbAnswer<K>> {
    const verb: Verb<K> = VERBS[kind];
    const parsed = parseArgs(verb, args);
    this.#requireCapability(verb);
    return this.#runJob(verb, parsed, {
      vmId: verb.names(parsed)[0],
      options: parseOperationOptions(options),
    });
  }

  #runJob<K extends JobKind>(
    verb: Verb<K>,
    args: VerbArgs<K>,
    { vmId, options }: { readonly vmId: string | undefined; readonly options: OperationOptions },
  ): Promise<VerbAnswer<K>> {
    const context = this.#context;
    return this.#jobs.run(
      {
        kind: verb.kind,
        ...(vmId === undefined ? {} : { vmId }),
        names: verb.names(args).map((name) => `name ${name}`),
        subject: () => laneOf(verb.subject(context, args)),
        request: this.#fingerprint(verb, args),
        execute: (job) => this.#execute(verb, args, job),
        answer: (result) => verb.answer(context, result),
      },
      options,
    );
  }

  async #execute<K extends JobKind>(verb: Verb<K>, args: VerbArgs<K>, job: Job): Promise<JobResult> {
    const context = this.#context;
    const subject = verb.subject(context, args);
    let vm = subject !== undefined && 'vm' in subject ? subject.vm : undefined;
    try {
      const result = await verb.execute(context, args, job);
      vm ??= context.fleet.byInstance(result.instanceId ?? '');
      return result;
    } finally {
      // Deals with an end that the driver reported while the job was at work.
      if (vm !== undefined) this.observer.look(vm);
    }
  }

  /** Tells another request under the same idempotency key. */
  #fingerprint<K extends JobKind>(verb: Verb<K>, args: VerbArgs<K>): string {
    const { fingerprints } = this.#context;
    const cut = verb.withoutSecrets?.(args);
    return cut === undefined
      ? fingerprints.of(valuesOf(verb, args))
      : fingerprints.of(valuesOf(verb, cut.args), cut.secrets);
  }

  #requireCapability({ kind, needs }: Pick<Verb<JobKind>, 'kind' | 'needs'>): void {
    const { capabilities, driver } = this.#context;
    if (needs.length === 0 || needs.some((capability) => capabilities[capability])) return;
    throw unsupported(`${kind} by the driver "${driver.name}"`);
  }
}

function laneOf(subject: Subject | undefined): string | undefined {
  if (subject === undefined) return undefined;
  return 'vm' in subject ? `vm ${subject.vm.record.instanceId}` : `snapshot ${subject.snapshotUid}`;
}

/** In the order of the method's; those that are absent at the end are left out. */
function valuesOf<K extends JobKind>(verb: Verb<K>, args: object): readonly unknown[] {
  const given = args as Readonly<Record<string, unknown>>;
  const values = parametersOf(verb).map((parameter) => given[parameter]);
  return values.slice(0, values.findLastIndex((value) => value !== undefined) + 1);
}

function parametersOf<K extends JobKind>({ parse }: Verb<K>): readonly (keyof VerbArgs<K> & string)[] {
  return Object.keys(parse) as (keyof VerbArgs<K> & string)[];
}

/** Checks the arguments in the order of the method's. Throws `MICROVM_INVALID_ARGUMENT`. */
function parseArgs<K extends JobKind>(verb: Verb<K>, args: unknown): VerbArgs<K> {
  if (typeof args !== 'object' || args === null) throw invalidArgument('args', 'an object');
  const parameters = parametersOf(verb);
  const given = args as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(given).find((key) => !parameters.some((parameter) => parameter === key));
  if (unknown !== undefined) {
    const guess = closest(unknown, [...parameters]);
    throw invalidArgument(`args.${unknown}`, `no such key; did you mean "${guess}"?`);
  }
  const parsed = parameters.map((name) => [name, verb.parse[name](given[name], name)]);
  return Object.fromEntries(parsed) as VerbArgs<K>;
}
