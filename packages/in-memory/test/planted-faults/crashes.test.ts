import { describeCrashes } from '@microvm/conformance';
import { crashProvider } from './crash-provider.js';

describeCrashes('in memory, with a state directory', crashProvider());
