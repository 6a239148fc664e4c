export { CommandError, type CommandResult } from './command-result.js';
export type { ConsoleOutput } from './console-output.js';
export type { AttachOptions, Detached, DetachedOptions } from './detached.js';
export type { DriverChoice } from './drivers.js';
export type { CommandChunk, Execution } from './execution.js';
export { createMicrovm, microvm, type Microvm } from './microvm.js';
export { DRIVER_NAMES, SDK_SETTINGS } from './options.js';
export type {
  CreateOptions,
  CreateSpec,
  DriverName,
  ExecInput,
  ExecOptions,
  MicrovmOptions,
  OpenOptions,
  RestoreSpec,
} from './options.js';
export type { Snapshot } from './snapshot.js';
export type { Vm } from './vm.js';
export { isVmRuntimeError, VmRuntimeError } from '@microvm/runtime';
export type {
  ConnectOptions,
  ConnectTarget,
  ErrorCode,
  ExecLimits,
  ExecOutput,
  ForwardOptions,
  GuestFileHandle,
  GuestFiles,
  HostReport,
  OperationOptions,
  PortForward,
  PtyOptions,
  PtySize,
  SnapshotView,
  VmRuntime,
  VmSpec,
  VmState,
  VmView,
} from '@microvm/runtime';
