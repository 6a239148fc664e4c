import { runPowerCutChild } from '@microvm/conformance/power-cut-child';
import { qemuFactory } from './factory.js';

runPowerCutChild(qemuFactory);
