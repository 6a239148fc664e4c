import { runCrashChild } from '@microvm/conformance/crash-child';
import { inMemoryProvider } from '../in-memory-provider.js';

runCrashChild(inMemoryProvider({ durable: true }));
