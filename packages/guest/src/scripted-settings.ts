import type { Environment, GuestSecret, GuestSecrets, GuestSettings, ImageConfig } from '@microvm/runtime';
import type { FailedMessage } from './messages.js';
import { FrameType } from './protocol.js';
import { decodeSetImage } from './image-message.js';
import type { ExecMessage } from './messages.js';
import { ScriptedErrno } from './scripted-command.js';
import { decodeSecrets, decodeSetEnv } from './settings-messages.js';

type CommandParts = Pick<ExecMessage, 'argv' | 'env' | 'cwd' | 'user'>;

/** What a scripted guest's agent was told to give to commands: a part of the guest's memory. */
export class ScriptedSettings {
  environment: Environment = {};
  /** What the VM's image says of commands; undefined: it has none. */
  image: ImageConfig | undefined;
  readonly #secrets = new Map<string, GuestSecret>();
  readonly #onSecrets: (() => void) | undefined;

  /** `onSecrets` is called after each change of the secrets. */
  constructor(onSecrets?: () => void) {
    this.#onSecrets = onSecrets;
  }

  /** By name; each is a file below /run/secrets. */
  get secrets(): ReadonlyMap<string, GuestSecret> {
    return this.#secrets;
  }

  /**
   * Takes SET_ENV, SET_IMAGE or SECRETS; what is answered where it cannot. `checkOwner` throws a
   * `ScriptedErrno` for an owner whom the guest does not know.
   */
  receive(type: FrameType, payload: Buffer, checkOwner: (owner: string) => void): FailedMessage | undefined {
    if (type === FrameType.setEnv) {
      this.environment = decodeSetEnv(payload);
      return undefined;
    }
    if (type === FrameType.setImage) {
      this.image = decodeSetImage(payload);
      return undefined;
    }
    const secrets = decodeSecrets(payload);
    try {
      for (const { owner } of secrets.give.values()) checkOwner(owner);
      this.takeSecrets(secrets);
      return undefined;
    } catch (error) {
      if (!(error instanceof ScriptedErrno)) throw error;
      return { errno: error.errno, step: error.step === 'user' ? 'owner' : error.step };
    }
  }

  /** Takes what a driver's VM has to be told. Throws a `ScriptedErrno`. */
  take({ env, secrets, image }: GuestSettings): void {
    if (image !== undefined) this.image = image;
    if (env !== undefined) this.environment = env;
    if (secrets !== undefined) this.takeSecrets(secrets);
  }

  /** Throws a `ScriptedErrno` of the step `keep` for one that is not there. */
  takeSecrets({ keep, give }: GuestSecrets): void {
    if (keep.some((name) => !this.#secrets.has(name))) throw new ScriptedErrno('ENOENT', 'keep');
    for (const name of [...this.#secrets.keys()]) if (!keep.includes(name)) this.#secrets.delete(name);
    for (const [name, { bytes, owner }] of give)
      this.#secrets.set(name, { bytes: Buffer.from(bytes), owner });
    this.#onSecrets?.();
  }

  /**
   * A command with its whole environment, and with what it leaves to the image. Throws a `ScriptedErrno` of
   * the step `secrets` or `argv`.
   */
  withSettings<C extends CommandParts>(
    command: C,
    secrets: Readonly<Record<string, string>>,
  ): Omit<C, 'argv'> & { readonly argv: readonly [string, ...string[]] } {
    const values = Object.entries(secrets).map(([variable, name]) => {
      const secret = this.#secrets.get(name);
      if (secret === undefined) throw new ScriptedErrno('ENOENT', 'secrets');
      if (secret.bytes.includes(0)) throw new ScriptedErrno('EINVAL', 'secrets');
      return [variable, secret.bytes.toString('utf8')] as const;
    });
    const { env: ofImage = {}, workingDir = '', user = '', entrypoint = [], cmd = [] } = this.image ?? {};
    const [program, ...others] = command.argv.length > 0 ? command.argv : [...entrypoint, ...cmd];
    if (program === undefined) throw new ScriptedErrno('EINVAL', 'argv');
    return {
      ...command,
      argv: [program, ...others],
      env: { ...ofImage, ...this.environment, ...command.env, ...Object.fromEntries(values) },
      cwd: command.cwd || workingDir || '/',
      user: command.user || user,
    };
  }
}
