import type { Environment, GuestSettings } from '@microvm/runtime';

/** What a scripted guest's agent was told to give to commands: a part of the guest's memory. */
export class ScriptedSettings {
  environment: Environment = {};

  /** Takes what a driver's VM has to be told. */
  take({ env }: GuestSettings): void {
    if (env !== undefined) this.environment = env;
  }
}
