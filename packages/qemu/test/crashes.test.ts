import { describeCrashes } from '@microvm/conformance';
import { qemuFactory } from './factory.js';

describeCrashes('qemu', qemuFactory);
