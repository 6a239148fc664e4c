import { describeProvider } from '@microvm/conformance';
import { minimalFactory } from './factory.js';

describeProvider('minimal driver', minimalFactory);
