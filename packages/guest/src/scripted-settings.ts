import type { Environment, GuestSecret, GuestSecrets, GuestSettings } from '@microvm/runtime';
import type { FailedMessage } from './messages.js';
import { FrameType } from './protocol.js';
import { ScriptedErrno } from './scripted-command.js';
import { decodeSecrets, decodeSetEnv } from './settings-messages.js';

/** What a scripted guest's agent was told to give to commands: a part of the guest's memory. */
export class ScriptedSettings {
  environment: Environment = {};
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
   * Takes SET_ENV or SECRETS; what is answered where it cannot. `checkOwner` throws a `ScriptedErrno` for an
   * owner whom the guest does not know.
   */
  receive(type: FrameType, payload: Buffer, checkOwner: (owner: string) => void): FailedMessage | undefined {
    if (type === FrameType.setEnv) {
      this.environment = decodeSetEnv(payload);
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
  take({ env, secrets }: GuestSettings): void {
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

  /** A command with its whole environment. Throws a `ScriptedErrno` of the step `secrets`. */
  withSettings<C extends { readonly env: Environment }>(
    command: C,
    secrets: Readonly<Record<string, string>>,
  ): C {
    const values = Object.entries(secrets).map(([variable, name]) => {
      const secret = this.#secrets.get(name);
      if (secret === undefined) throw new ScriptedErrno('ENOENT', 'secrets');
      if (secret.bytes.includes(0)) throw new ScriptedErrno('EINVAL', 'secrets');
      return [variable, secret.bytes.toString('utf8')] as const;
    });
    const env = { ...this.environment, ...command.env, ...Object.fromEntries(values) };
    return { ...command, env };
  }
}
