import type { Environment } from '../contract/environment.js';
import type { ResolvedVmSpec } from '../contract/spec.js';
import { isLive } from '../contract/states.js';
import type { GuestSettings } from '../ports/driver.js';
import type { ImageConfig } from '../ports/images.js';
import { HeldSecrets } from './held-secrets.js';
import type { VmRecord } from './record.js';

/** What the agent of a VM's guest was told of its settings, and what it must still be told. */
export class ToldSettings {
  readonly secrets = new HeldSecrets();
  #isEnvironmentDue = false;
  #wanted: Environment | undefined;
  #image: ImageConfig | undefined;

  /** Undefined: the agent knows everything. */
  pending({ env = {} }: ResolvedVmSpec): GuestSettings | undefined {
    const secrets = this.secrets.pending();
    if (!this.#isEnvironmentDue && secrets === undefined && this.#image === undefined) return undefined;
    return {
      ...(this.#image === undefined ? {} : { image: this.#image }),
      ...(this.#isEnvironmentDue ? { env: this.#wanted ?? env } : {}),
      ...(secrets === undefined ? {} : { secrets }),
    };
  }

  /** A cold boot: its agent has no settings. */
  beginLife({ spec: { env = {} }, image }: Pick<VmRecord, 'spec' | 'image'>): void {
    this.#wanted = undefined;
    this.#image = image?.config;
    this.#isEnvironmentDue = Object.keys(env).length > 0;
    this.secrets.beginLife();
  }

  /** The agent may have another environment than the record: of an earlier owner, or of a snapshot. */
  doubtEnvironment(): void {
    this.#wanted = undefined;
    this.#isEnvironmentDue = true;
  }

  /** The agent is to be told this environment, which the record does not have yet. */
  want(env: Environment): void {
    this.#wanted = env;
    this.#isEnvironmentDue = true;
  }

  /** The driver has told the agent what was pending. */
  done(): void {
    this.#wanted = undefined;
    this.#image = undefined;
    this.#isEnvironmentDue = false;
    this.secrets.told();
  }

  /** Follows the record: secrets do not outlive the guest that they were given to. */
  follow({ state }: VmRecord): void {
    if (state !== 'created' && !isLive(state)) this.secrets.clear();
  }
}
