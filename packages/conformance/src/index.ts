export { describeCrashes } from './describe-crashes.js';
export { describeProvider } from './describe-provider.js';
export type { ChildModule, GuestEnding, GuestWorkload, OpenOptions, ProviderFactory } from './factory.js';
