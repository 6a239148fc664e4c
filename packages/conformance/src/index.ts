export { checkLifecycle } from './model/check-lifecycle.js';
export type { CheckLifecycleOptions } from './model/check-lifecycle.js';
export type { LifecycleReal } from './model/compare-with-model.js';
export { describeCrashes } from './describe-crashes.js';
export { describeFullDisk } from './describe-full-disk.js';
export { describePowerCuts } from './describe-power-cuts.js';
export type { PlantedFault, PowerCutOptions } from './describe-power-cuts.js';
export { describeProvider } from './describe-provider.js';
export type {
  ChildModule,
  GuestEnding,
  GuestWorkload,
  OpenOptions,
  ProviderFactory,
  SuiteImage,
  SuiteImages,
} from './factory.js';
export type { FewDescriptorsReport } from './children/few-descriptors-child.js';
export { withFewDescriptors } from './children/with-few-descriptors.js';
export type { CuttableDisk, PowerLab } from './power-cuts/power-lab.js';
export { lifecycleCommands } from './model/lifecycle-commands.js';
export type { LifecycleCommandsOptions } from './model/lifecycle-commands.js';
export { LifecycleModel } from './model/model.js';
export { destroyAll, openForTest, useSharedRuntime } from './shared-runtime.js';
export type { SharedRuntime } from './shared-runtime.js';
export { warningsInWorker } from './children/warnings-in-worker.js';
