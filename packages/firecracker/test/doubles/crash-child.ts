import { runCrashChild } from '@microvm/conformance/crash-child';
import { doubleFactory } from './doubles.js';

runCrashChild(doubleFactory);
