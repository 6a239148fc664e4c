import { runCrashChild } from '@microvm/conformance/crash-child';
import { realFactory } from '../factory.js';

runCrashChild(realFactory);
