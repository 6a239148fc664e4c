export { consoleSize, untilConsole } from './console/console-growth.js';
export { reasonFromConsole } from './console/console-reason.js';
export { Consoles } from './console/consoles.js';
export { LOG_FILES } from './console/log-files.js';
export type { LogFile } from './console/log-files.js';
export { LogKeeper } from './console/log-keeper.js';
export type { KeptLog } from './console/log-keeper.js';
export { consoleTail, lastLogLines } from './console/log-tail.js';
export { copyBounded } from './disks/bounded-copy.js';
export type { FileSize, UntrustedFile } from './disks/bounded-copy.js';
export type { DiskOwner, DiskTarget } from './disks/disk-files.js';
export {
  DISKS_FOLDER,
  plannedDriveSchema,
  planDrives,
  planNewDrives,
  privateDrives,
  withPresentFiles,
} from './disks/planned-drive.js';
export type { PlannedDrive } from './disks/planned-drive.js';
export { AgentChannel } from './guest/agent-channel.js';
export type { OpenLimits, OpenStream } from './guest/agent-channel.js';
export {
  ensureThawed,
  freezeWorkload,
  thawWorkload,
  unfreezeWorkload,
  unrepaired,
} from './guest/workload.js';
export type { WorkloadOptions } from './guest/workload.js';
export { readCpuFingerprint } from './host/cpu-fingerprint.js';
export { fileIdentity } from './host/file-identity.js';
export { findProgram, outputOfProgram } from './host/find-program.js';
export { kvmFindings } from './host/host-report.js';
export { mountOf, readMounts } from './host/mounts.js';
export type { Mount } from './host/mounts.js';
export { findVersionedProgram, inspectHostFor } from './host/inspect-host.js';
export type { FoundProgram, HostLook, Inspection } from './host/inspect-host.js';
export { openOnHost } from './host/open-on-host.js';
export { openOwnerId, readOwnerId } from './host/owner-id.js';
export { removeFiles } from './host/remove-files.js';
export { checkSpecFiles } from './host/spec-files.js';
export { stateContent } from './host/state-content.js';
export { defaultStateDir, nearestFolder, stateDirFindings } from './host/state-dir.js';
export { hasCode, ignoreMissing } from './host/system-error.js';
export { connectStream } from './host/unix-stream.js';
export { HttpClient, MAX_ANSWER_BYTES } from './http/http-client.js';
export type { HttpClientOptions, HttpRequest, SendOptions } from './http/http-client.js';
export { defaultImageSpec, imageOptionsShape, RUNTIME_IMAGE_SETTINGS } from './image/default-spec.js';
export { cgroupMetrics } from './metrics/cgroup-metrics.js';
export { processMetrics } from './metrics/process-metrics.js';
export { allSettledOrThrow } from './process/all-settled-or-throw.js';
export { ownUser, surveyVmms, vmmsOf } from './process/find-vmms.js';
export type { VmmPlace, WantedVmm } from './process/find-vmms.js';
export { EXIT_AFTER_KILL_MS, killVmms } from './process/process-end.js';
export type { VmmName } from './process/process-end.js';
export { ConnectionClosedError, RequestRefusedError, RequestTimeoutError } from './process/request-errors.js';
export type { HaltableVm } from './vm/ask-to-halt.js';
export { endedBeforeReady, Ending } from './vm/ending.js';
export type { EndingReason } from './vm/ending.js';
export { differenceIn, incompatibleSnapshot } from './vm/incompatible.js';
export { checkParts, diskParts } from './vm/snapshot-parts.js';
export type { ExpectedPart } from './vm/snapshot-parts.js';
export type { PausableVm } from './vm/pause.js';
export { PROCESS_STEPS, ProcessDriver } from './vm/process-driver.js';
export type { FoundState, ProcessDriverOptions, ProcessLife, ProcessSnapshots } from './vm/process-driver.js';
export { deriveVm, folderOf } from './vm/process-vm.js';
export type { ProcessVm } from './vm/process-vm.js';
export { VmmLife } from './vm/vmm-life.js';
export { VmTable } from './vm/vm-table.js';
