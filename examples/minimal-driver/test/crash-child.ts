import { runCrashChild } from '@microvm/conformance/crash-child';
import { minimalFactory } from './factory.js';

runCrashChild(minimalFactory);
