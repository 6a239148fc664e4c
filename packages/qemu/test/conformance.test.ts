import { describeProvider } from '@microvm/conformance';
import { qemuFactory } from './factory.js';

describeProvider('qemu', qemuFactory);
