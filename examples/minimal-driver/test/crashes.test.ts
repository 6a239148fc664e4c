import { describeCrashes } from '@microvm/conformance';
import { minimalFactory } from './factory.js';

describeCrashes('minimal driver', minimalFactory);
