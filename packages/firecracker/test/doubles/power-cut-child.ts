import { runPowerCutChild } from '@microvm/conformance/power-cut-child';
import { doubleFactory } from './doubles.js';

runPowerCutChild(doubleFactory);
