export { checkLifecycle } from './check-lifecycle.js';
export type { CheckLifecycleOptions } from './check-lifecycle.js';
export { describeCrashes } from './describe-crashes.js';
export { describeProvider } from './describe-provider.js';
export type { ChildModule, GuestEnding, GuestWorkload, OpenOptions, ProviderFactory } from './factory.js';
export { lifecycleCommands } from './lifecycle-commands.js';
export type { LifecycleCommandsOptions, LifecycleReal } from './lifecycle-commands.js';
export { LifecycleModel } from './model.js';
