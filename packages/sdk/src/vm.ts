import type { Duplex } from 'node:stream';
import { VmRuntimeError } from '@microvm/runtime';
import type {
  ConnectOptions,
  ConnectTarget,
  ConsoleOptions,
  EnvironmentUpdate,
  Argv,
  ForwardOptions,
  Guest,
  GuestCommand,
  GuestListener,
  GuestMetrics,
  GuestFiles,
  ListenOptions,
  OperationOptions,
  PortForward,
  SecretValue,
  SnapshotOptions,
  StartOptions,
  VmView,
} from '@microvm/runtime';
import { parseCommand } from './command.js';
import { ConsoleOutput } from './console-output.js';
import type { Context } from './context.js';
import { detachedHandle, detachedRequest } from './detached.js';
import type { AttachOptions, Detached, DetachedOptions } from './detached.js';
import { Execution } from './execution.js';
import { generateId } from './generate-id.js';
import type { ExecOptions } from './options.js';
import { Snapshot } from './snapshot.js';
import { createVmFiles } from './vm-files.js';

/**
 * One VM. The handle belongs to the VM, not to its id: it follows a rename, by whomever, and never reaches a
 * later VM that got the same id. Every call rejects with the runtime's own errors.
 */
export class Vm implements AsyncDisposable {
  /** The guest's files, as `node:fs/promises` has a host's. See `GuestFiles`. */
  readonly files: GuestFiles;
  readonly #context: Context;
  #vmId: string;
  readonly #instanceId: string;
  #destroyed: VmView | undefined;
  #destroying: Promise<void> | undefined;

  constructor(context: Context, view: VmView) {
    this.#context = context;
    this.files = createVmFiles({ guest: () => this.guest(), alive: context.alive });
    this.#vmId = view.vmId;
    this.#instanceId = view.instanceId;
  }

  /** The VM's name, as last seen. */
  get vmId(): string {
    return this.#vmId;
  }

  /** Immutable, never used again: what the host's processes and folders of this VM are named by. */
  get instanceId(): string {
    return this.#instanceId;
  }

  /**
   * Runs a command in the guest: a string by the guest's `/bin/sh -c`, an array as program and arguments
   * without a shell, and without a command the ENTRYPOINT and CMD of the VM's image. Await the answer for the
   * result, or iterate it for the output. Errors: INVALID_TRANSITION, GUEST_UNREACHABLE, EXEC_FAILED (no such
   * program), OUTPUT_LIMIT, TIMEOUT.
   */
  exec(command: string | Argv | undefined, options: DetachedOptions): Promise<Detached>;
  exec(command?: string | Argv, options?: ExecOptions): Execution;
  exec(command?: string | Argv, options: ExecOptions | DetachedOptions = {}): Execution | Promise<Detached> {
    if ('detached' in options && options.detached) return this.#execDetached(command, options);
    return new Execution({
      parse: () => parseCommand(command, options),
      guest: () => this.guest(),
      alive: this.#context.alive,
    });
  }

  /**
   * Reads a command of the guest by its id, whoever has started it. Leaving the loop early, an abort and a
   * time-out leave the command to itself. See `Guest.attach` for the errors.
   */
  attach(id: string, { from, ...options }: AttachOptions = {}): Execution {
    return new Execution({
      parse: () => parseCommand([id], options),
      guest: () => this.guest(),
      alive: this.#context.alive,
      attachment: { id, from },
    });
  }

  /** The commands of the guest that run, and the ends that nobody has read; see `Guest.commands`. */
  async commands(): Promise<readonly GuestCommand[]> {
    return this.#context.alive.during(this.guest().then((guest) => guest.commands()));
  }

  /**
   * Sends a signal, `SIGTERM` by default, to a command by its id, whoever reads it, and to all that it
   * started. To one that has ended it does nothing. Errors: GUEST_UNREACHABLE.
   */
  async killCommand(id: string, signal?: NodeJS.Signals): Promise<void> {
    await this.#context.alive.during(this.guest().then((guest) => guest.kill(id, signal)));
  }

  /**
   * Opens a connection to a socket in the guest, with or without a network. An open connection keeps the
   * process alive. See `Guest.connect` for the stream, and for its errors.
   */
  async connect(target: ConnectTarget, options?: ConnectOptions): Promise<Duplex> {
    const { alive } = this.#context;
    const socket = await alive.during(this.guest().then((guest) => guest.connect(target, options)));
    alive.hold();
    socket.once('close', () => alive.release());
    return socket;
  }

  /**
   * Listens on the host, on 127.0.0.1 by default, and hands each connection on to the guest, until it is
   * closed or the VM stops, crashes or is destroyed. See `Guest.forward` for its errors.
   */
  async forward(options: ForwardOptions): Promise<PortForward> {
    return this.#context.alive.during(this.guest().then((guest) => guest.forward(options)));
  }

  /**
   * Listens in the guest for the host: programs of the guest connect to a TCP port, a unix socket or a vsock
   * port there, and the answer's iteration gives each connection. See `Guest.listen`.
   */
  async listen(target: ConnectTarget, options?: ListenOptions): Promise<GuestListener> {
    return this.#context.alive.during(this.guest().then((guest) => guest.listen(target, options)));
  }

  /** The runtime's own view of the guest's agent, for what `exec` and `connect` do not show. */
  guest(): Promise<Guest> {
    return this.#do((vmId) => this.#context.runtime.guest(vmId));
  }

  /**
   * Captures memory and disks of a live VM, disks of another one; a running guest stands still for
   * `view.pausedMs`. Errors: SECRETS_PRESENT, unless `allowSecrets`.
   */
  async snapshot(name: string = generateId('snapshot'), options?: SnapshotOptions): Promise<Snapshot> {
    const view = await this.#do((vmId) => this.#context.runtime.snapshotVm(vmId, name, options));
    return new Snapshot(this.#context, view);
  }

  /** The snapshots of this VM, in creation order. */
  async snapshots(): Promise<readonly Snapshot[]> {
    const { snapshots } = await this.view();
    return snapshots.map((view) => new Snapshot(this.#context, view));
  }

  /** Gives the VM another id, whatever runs on in it. */
  async rename(vmId: string, options?: OperationOptions): Promise<VmView> {
    const view = await this.#do((old) => this.#context.runtime.renameVm(old, vmId, options));
    this.#vmId = view.vmId;
    return view;
  }

  /**
   * Boots a created, stopped or crashed VM, or resumes a paused one; resolves when its agent answers.
   * `secrets` gives anew what is missing. Errors: SECRETS_MISSING, unless `secretsOptional`.
   */
  start(options?: StartOptions): Promise<VmView> {
    return this.#do((vmId) => this.#context.runtime.startVm(vmId, options));
  }

  /** Lets the guest flush and halt, then force; `stop` of the answer says which it was. The disks stay. */
  stop(options?: OperationOptions): Promise<VmView> {
    return this.#do((vmId) => this.#context.runtime.stopVm(vmId, options));
  }

  pause(options?: OperationOptions): Promise<VmView> {
    return this.#do((vmId) => this.#context.runtime.pauseVm(vmId, options));
  }

  resume(options?: OperationOptions): Promise<VmView> {
    return this.#do((vmId) => this.#context.runtime.resumeVm(vmId, options));
  }

  /**
   * Memory, load, processes and disks as the guest's own kernel counts them; see `Guest.metrics`. The guest
   * can say anything here.
   */
  async guestMetrics(options?: {
    readonly signal?: AbortSignal;
    readonly timeoutMs?: number;
  }): Promise<GuestMetrics> {
    return this.#context.alive.during(this.guest().then((guest) => guest.metrics(options)));
  }

  /**
   * Changes the environment of the VM's commands: a value sets a variable, null removes one, the others stay.
   * A guest that does not run has the new one when it goes on or starts. `view().spec.env` is the whole.
   */
  setEnv(env: EnvironmentUpdate, options?: OperationOptions): Promise<VmView> {
    return this.#do((vmId) => this.#context.runtime.setEnv(vmId, env, options));
  }

  /**
   * Gives the guest a secret: a file of mode 0600 below /run/secrets, and a variable of those commands that
   * name it (`exec(…, { secrets: { TOKEN: name } })`). It lives in memory alone, and is gone after a stop, a
   * crash, or with the process that gave it.
   */
  setSecret(name: string, value: SecretValue | Uint8Array, options?: OperationOptions): Promise<VmView> {
    const given = value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
    return this.#do((vmId) => this.#context.runtime.setSecret(vmId, name, given, options));
  }

  /** Removes a secret from the guest and from the VM. */
  deleteSecret(name: string, options?: OperationOptions): Promise<VmView> {
    return this.#do((vmId) => this.#context.runtime.deleteSecret(vmId, name, options));
  }

  /** What the guest wrote to its serial console, also after its death. */
  console(options?: ConsoleOptions): ConsoleOutput {
    const { runtime, alive } = this.#context;
    const locate = () => this.#locate();
    async function* bytes(): AsyncGenerator<Buffer, void, undefined> {
      yield* runtime.consoleVm(await locate(), options);
    }
    return new ConsoleOutput(bytes, alive);
  }

  /** What is true now; after `destroy` the last of it. */
  async view(): Promise<VmView> {
    if (this.#destroyed !== undefined) return this.#destroyed;
    return this.#look();
  }

  /**
   * Ends the VM in any state and removes all it had but its snapshots, its id included. Idempotent.
   * Errors: CLEANUP_INCOMPLETE, after which it may be called again.
   */
  destroy(options?: OperationOptions): Promise<void> {
    this.#destroying ??= this.#destroy(options).catch((error: unknown) => {
      this.#destroying = undefined;
      throw error;
    });
    return this.#destroying;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  async #execDetached(command: unknown, options: DetachedOptions): Promise<Detached> {
    const request = detachedRequest(command, options);
    const started = this.guest().then((guest) => guest.exec(request));
    const { id } = await this.#context.alive.during(started);
    const attach = (name: string, how?: AttachOptions) => this.attach(name, how);
    return detachedHandle(id, () => this.guest(), attach);
  }

  async #destroy(options: OperationOptions | undefined): Promise<void> {
    const { runtime, alive } = this.#context;
    const found = await alive.during(this.#find());
    if (found === undefined) return;
    const view =
      found.state === 'destroyed' ? found : await this.#do((vmId) => runtime.destroyVm(vmId, options));
    this.#destroyed = view;
    await this.#do((vmId) => runtime.forgetVm(vmId));
  }

  async #do<T>(call: (vmId: string) => Promise<T>): Promise<T> {
    return this.#context.alive.during(this.#locate().then(call));
  }

  async #locate(): Promise<string> {
    return (await this.#look()).vmId;
  }

  async #look(): Promise<VmView> {
    const view = await this.#find();
    if (view !== undefined) return view;
    throw new VmRuntimeError(
      'MICROVM_VM_NOT_FOUND',
      `VM "${this.#vmId}" (${this.#instanceId}) does not exist`,
      {
        details: { vmId: this.#vmId },
        remedy: 'the VM was destroyed: create or restore another one',
      },
    );
  }

  /** An id is a name that can be given on: only the instance tells whether it is still ours. */
  async #find(): Promise<VmView | undefined> {
    const { runtime } = this.#context;
    const named = await runtime.getVm(this.#vmId);
    const view =
      named?.instanceId === this.#instanceId
        ? named
        : (await runtime.listVms()).find((vm) => vm.instanceId === this.#instanceId);
    if (view !== undefined) this.#vmId = view.vmId;
    return view;
  }
}
