import { describeFullDisk } from '@microvm/conformance';
import { guestlessFactory } from './guestless-factory.js';

// Without real binaries the suite says so and counts as skipped.
describeFullDisk('firecracker, on the real binary, without guests', guestlessFactory);
