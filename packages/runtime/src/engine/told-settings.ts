import type { Environment } from '../contract/environment.js';
import type { ResolvedVmSpec } from '../contract/spec.js';
import type { GuestSettings } from '../ports/driver.js';

/** What the agent of a VM's guest was told of its settings, and what it must still be told. */
export class ToldSettings {
  #isEnvironmentDue = false;
  #wanted: Environment | undefined;

  /** Undefined: the agent knows everything. */
  pending({ env = {} }: ResolvedVmSpec): GuestSettings | undefined {
    return this.#isEnvironmentDue ? { env: this.#wanted ?? env } : undefined;
  }

  /** A cold boot: its agent has no settings. */
  beginLife({ env = {} }: ResolvedVmSpec): void {
    this.#wanted = undefined;
    this.#isEnvironmentDue = Object.keys(env).length > 0;
  }

  /** The agent may have been told something else: by an earlier owner, or before a snapshot. */
  becomeUnknown(): void {
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
    this.#isEnvironmentDue = false;
  }
}
