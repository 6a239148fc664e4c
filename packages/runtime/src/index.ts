export { defineCapabilities } from './contract/capabilities.js';
export type { Capabilities, SpecFeatures } from './contract/capabilities.js';
export { COMMON_SETTINGS, commonOptionsShape, resolveOptions } from './contract/configuration.js';
export type { CommonOptions, Setting } from './contract/configuration.js';
export {
  changedEnvironment,
  ENVIRONMENT_MAX_BYTES,
  environmentBytes,
  environmentSchema,
} from './contract/environment.js';
export type { Environment, EnvironmentUpdate } from './contract/environment.js';
export {
  ERROR_CODES,
  ERROR_TRAITS,
  invalidArgument,
  isVmRuntimeError,
  unsupported,
  VmRuntimeError,
} from './contract/errors.js';
export type { ErrorCode, ErrorDetails } from './contract/errors.js';
export type { VmEvent } from './contract/events.js';
export type {
  Argv,
  AttachOptions,
  ConnectOptions,
  ConnectTarget,
  DetachedCommand,
  DetachedExecRequest,
  ExecChunk,
  ExecLimits,
  ExecOutput,
  ExecProcess,
  ExecRequest,
  ExecResult,
  ForwardOptions,
  Guest,
  GuestCommand,
  GuestInfo,
  GuestListener,
  ListenOptions,
  OutputOffsets,
  PortForward,
  PtyOptions,
  PtySize,
} from './contract/guest.js';
export type { GuestDiskMetrics, GuestFileSystem, GuestMetrics } from './contract/guest-metrics.js';
export type {
  CollectOptions,
  CopyInOptions,
  CopyOutOptions,
  FileCallOptions,
  FileChange,
  FileEntry,
  FileHandleOptions,
  FileReadStreamOptions,
  FileStats,
  FileTime,
  FileTransferOptions,
  FileWatcher,
  FileWriteStreamOptions,
  GuestFileHandle,
  GuestFiles,
  GuestPath,
  MkdirOptions,
  PathAnswerOptions,
  ReaddirOptions,
  ReadFileOptions,
  RmOptions,
  TreeCopy,
  TreeEntry,
  TreeFilter,
  TreeProgress,
  WatchOptions,
  WriteFileOptions,
} from './contract/guest-files.js';
export type { HostFinding, HostReport } from './contract/host-report.js';
export { parseSnapshotId, parseSnapshotUid, parseVmId } from './contract/ids.js';
export type {
  CgroupMetrics,
  DriverMetrics,
  ProcessMetrics,
  VmmMetrics,
  VmMetrics,
} from './contract/metrics.js';
export type {
  ConsoleOptions,
  EventsOptions,
  JobFilter,
  MetricsOptions,
  OperationOptions,
  SnapshotOptions,
  StartOptions,
} from './contract/options.js';
export { cutText, printable, PRINTABLE_LENGTH } from './contract/printable.js';
export { abortSignalSchema } from './contract/options.js';
export { VmProvider } from './contract/provider.js';
export { NOTHING_SWEPT, VmRuntime } from './contract/runtime.js';
export type { RecoveryReport, Sweep, VmQuery } from './contract/runtime.js';
export { MAX_SECRETS, MAX_SECRET_BYTES } from './contract/secrets.js';
export type { Secrets, SecretsUpdate, SecretValue, SecretView } from './contract/secrets.js';
export { IMAGE_DRIVE_ID, imageDriveOf } from './contract/image-rules.js';
export { parseVmSpec, resolveVmSpec } from './contract/spec.js';
export type { ResolvedVmSpec, VmSpec } from './contract/spec.js';
export {
  endsByDefault,
  requireSignal,
  signalName,
  signalNumber,
  stopSignalName,
  stopSignalNumber,
} from './contract/signals.js';
export { MIB } from './contract/units.js';
export { isLive, LIVE_STATES, TRANSITIONS, VM_STATES, VM_VERBS } from './contract/states.js';
export type { VmState } from './contract/states.js';
export { OWN_JOB_KINDS } from './contract/verbs.js';
export type {
  JobKind,
  OwnJobKind,
  SnapshotRef,
  VerbAnswer,
  VerbArgs,
  VerbCall,
  VerbName,
  VerbTypes,
  VmVerb,
} from './contract/verbs.js';
export type {
  InterruptedOutcome,
  JobProgress,
  JobStatus,
  JobView,
  ProcessIdentity,
  SnapshotView,
  VmEnding,
  VmView,
} from './contract/views.js';
export type {
  Adoption,
  Captured,
  CaptureTarget,
  DriverConsole,
  DriverEvents,
  DriverGuestAgent,
  DriverMetering,
  DriverPausing,
  DriverSnapshots,
  DriverSupport,
  DriverVm,
  GuestSecret,
  GuestSecrets,
  GuestSettings,
  JsonObject,
  JsonValue,
  KnownVm,
  MetricsRequest,
  NamedVm,
  PlanRequest,
  RestoreSource,
  Resumption,
  Run,
  SnapshotPart,
  StoredPart,
  VmDriver,
  VmmInfo,
} from './ports/driver.js';
export { systemClock } from './ports/clock.js';
export type { Clock } from './ports/clock.js';
export type { Content, ContentCall, PinnedContent } from './ports/content.js';
export type { DirectoryLock, HostCalls } from './ports/host-calls.js';
export { checkImageConfig, imageConfigSchema } from './ports/image-config.js';
export type { ImageConfig, Images, ResolveCall, ResolvedImage } from './ports/images.js';
export { sweepAll } from './ports/sweep.js';
export type { LeftOver } from './ports/sweep.js';
export { KeepAlive } from './engine/keep-alive.js';
export { openRuntime } from './engine/open-runtime.js';
export type { EngineOptions } from './engine/open-runtime.js';
export { LIFECYCLE_STEPS } from './engine/lifecycle-steps.js';
export { syncPath } from './engine/sync-path.js';
export { onAbort } from './waiting/on-abort.js';
export { delay, untilAborted, within } from './waiting/within.js';
export type { Limits } from './waiting/within.js';
export { withoutUndefined } from './contract/without-undefined.js';
