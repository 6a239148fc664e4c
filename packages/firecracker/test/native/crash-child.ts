import { runCrashChild } from '@microvm/conformance/crash-child';
import { nativeFactory } from './native-factory.js';

runCrashChild(nativeFactory);
