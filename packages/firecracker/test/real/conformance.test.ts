import { describeProvider } from '@microvm/conformance';
import { realFactory } from '../factory.js';

describeProvider('firecracker', realFactory);
