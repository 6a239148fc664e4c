import { describeCrashes } from '@microvm/conformance';
import { realFactory } from '../factory.js';

describeCrashes('firecracker', realFactory);
