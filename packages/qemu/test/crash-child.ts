import { runCrashChild } from '@microvm/conformance/crash-child';
import { qemuFactory } from './factory.js';

runCrashChild(qemuFactory);
