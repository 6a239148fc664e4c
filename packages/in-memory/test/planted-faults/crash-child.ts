import { runCrashChild } from '@microvm/conformance/crash-child';
import { goodProvider } from './good-provider.js';

runCrashChild(goodProvider());
