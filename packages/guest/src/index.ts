export { agentBinaryPath } from './agent-binary.js';
export { AgentFailure } from './agent-failure.js';
export { AgentClient } from './client.js';
export type { ConnectOptions, ShutdownOptions, ThawOptions } from './client.js';
export type { AgentInfo, Farewell } from './messages.js';
export type { FarewellReason, PowerAction } from './protocol.js';
