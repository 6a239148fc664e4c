export { runFewDescriptorsChild } from './descriptors/run-few-descriptors-child.js';
