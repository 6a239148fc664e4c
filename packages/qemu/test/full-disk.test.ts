import { describeFullDisk } from '@microvm/conformance';
import { qemuFactory } from './factory.js';

describeFullDisk('qemu', qemuFactory);
