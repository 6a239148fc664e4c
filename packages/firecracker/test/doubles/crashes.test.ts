import { describeCrashes } from '@microvm/conformance';
import { doubleFactory } from './doubles.js';

describeCrashes('firecracker, on the doubles', doubleFactory);
