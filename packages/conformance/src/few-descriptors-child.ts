export { openTask, runFewDescriptorsChild } from './children/few-descriptors-child.js';
export type { FewDescriptorsTask } from './children/few-descriptors-child.js';
