import { FAULTS_OF_CRASHES } from './faults-of-crashes.js';
import { FAULTS_OF_GUESTS } from './faults-of-guests.js';
import { FAULTS_OF_IMAGES } from './faults-of-images.js';
import { FAULTS_OF_JOBS } from './faults-of-jobs.js';
import { FAULTS_OF_SETTINGS } from './faults-of-settings.js';
import { FAULTS_OF_STATE } from './faults-of-state.js';
import { FAULTS_OF_VERBS } from './faults-of-verbs.js';
import { KILLED, type PlantedFault } from './faulty-runtime.js';

/** Every deviation that the suite must notice, with the test that must fail for it. */
export const PLANTED_FAULTS: readonly PlantedFault[] = [
  ...FAULTS_OF_VERBS,
  ...FAULTS_OF_JOBS,
  ...FAULTS_OF_STATE,
  ...FAULTS_OF_GUESTS,
  ...FAULTS_OF_SETTINGS,
  ...FAULTS_OF_IMAGES,
];

/** The same for the part of the suite that kills processes. */
export const PLANTED_CRASH_FAULTS: readonly PlantedFault[] = FAULTS_OF_CRASHES;

/** The good provider, through the same wrapping: every test that catches a fault must pass with it. */
export const NO_FAULT = 'no fault';

/** The good one that honestly lacks what the faulty ones lack by their word only. */
export const LACKING = 'no fault, and some abilities lacking';

/** Full title of the test that must fail, or of the same test of the provider without the fault. */
export function titleOf({ fault, caughtBy }: PlantedFault, which: 'faulty' | 'control'): string {
  const [group, title] = caughtBy;
  const control = group === 'capabilities' ? LACKING : NO_FAULT;
  const provider = which === 'faulty' ? fault : control;
  return group === KILLED ? `${provider}, ${group} > ${title}` : `${provider} > ${group} > ${title}`;
}
