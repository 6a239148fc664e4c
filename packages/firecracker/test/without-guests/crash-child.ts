import { runCrashChild } from '@microvm/conformance/crash-child';
import { guestlessFactory } from './guestless-factory.js';

runCrashChild(guestlessFactory);
