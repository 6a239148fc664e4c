import type { AbortOptions } from '../dist/index.js';

export interface Fixture {
  readonly folder: string;
  readonly cgroupMount: string | undefined;
  readonly hasNetwork: boolean;
  close(): Promise<void>;
}

export function prepareFixture(
  folder: string,
  cgroupMount: string | undefined,
  hasNetwork: boolean,
): Promise<Fixture>;

export type Use = (fixture: Fixture, name: string, options: AbortOptions) => Promise<unknown>;

export const EVERY_CALL: Readonly<Record<string, Use>>;

export function possibleCalls(abilities: {
  readonly cgroupMount: string | undefined;
  readonly hasNetwork: boolean;
}): Readonly<Record<string, Use>>;
