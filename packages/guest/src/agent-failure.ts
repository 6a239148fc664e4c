/**
 * The agent was reached and answered that it could not do it. Drivers translate it; `exec` has its own code
 * in the contract.
 */
export class AgentFailure extends Error {
  override readonly name = 'AgentFailure';
  /** What was asked for, such as `thaw`. */
  readonly operation: string;
  /** The step of it that failed, such as `clock` or `entropy`. */
  readonly step: string;
  /** The guest's error, such as `EPERM`. */
  readonly errno: string;

  constructor(operation: string, step: string, errno: string) {
    super(`${operation} in the guest: ${step} failed with ${errno}`);
    this.operation = operation;
    this.step = step;
    this.errno = errno;
  }
}
