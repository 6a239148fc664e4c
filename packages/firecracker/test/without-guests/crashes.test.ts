import { describeCrashes } from '@microvm/conformance';
import { guestlessFactory } from './guestless-factory.js';

// Without real binaries the suite says so and counts as skipped.
describeCrashes('firecracker, on the real binary', guestlessFactory);
