export {
  ERROR_CODES,
  ERROR_TRAITS,
  invalidArgument,
  isVmRuntimeError,
  unsupported,
  VmRuntimeError,
} from './contract/errors.js';
export type { ErrorCode, ErrorDetails } from './contract/errors.js';
export type { ExecChunk, ExecProcess, ExecRequest, ExecResult, Guest, GuestInfo } from './contract/guest.js';
