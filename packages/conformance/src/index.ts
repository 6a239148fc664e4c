export { checkLifecycle } from './check-lifecycle.js';
export type { CheckLifecycleOptions } from './check-lifecycle.js';
export type { LifecycleReal } from './compare-with-model.js';
export { describeCrashes } from './describe-crashes.js';
export { describeProvider } from './describe-provider.js';
export type { ChildModule, GuestEnding, GuestWorkload, OpenOptions, ProviderFactory } from './factory.js';
export { lifecycleCommands } from './lifecycle-commands.js';
export type { LifecycleCommandsOptions } from './lifecycle-commands.js';
export { LifecycleModel } from './model.js';
