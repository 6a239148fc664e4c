import { describeProvider } from '@microvm/conformance';
import { doubleFactory } from './doubles.js';

describeProvider('firecracker, on the doubles', doubleFactory);
