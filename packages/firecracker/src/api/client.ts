import { ConnectionClosedError, HttpClient, type HttpClientOptions } from '@microvm/driver-kit';
import type { Limits } from '@microvm/runtime';
import { INSTANCE_STATES, type ActionType, type InstanceInfo } from './wire.js';

/** Speaks to one Firecracker process. */
export class ApiClient extends HttpClient {
  constructor(options: Omit<HttpClientOptions, 'faultIn'>) {
    super({ ...options, faultIn });
  }

  async describe(options?: Limits): Promise<InstanceInfo> {
    const info = (await this.send({ method: 'GET', path: '/' }, options)) as
      Partial<InstanceInfo> | undefined;
    const state = INSTANCE_STATES.find((known) => known === info?.state);
    if (state === undefined) throw new ConnectionClosedError('GET /: the answer names no state');
    return { state };
  }

  async act(action: ActionType, options?: Limits): Promise<void> {
    await this.send({ method: 'PUT', path: '/actions', body: { action_type: action } }, options);
  }

  /** Idempotent: Firecracker pauses a paused VM without complaint. */
  async setState(state: 'Paused' | 'Resumed', options?: Limits): Promise<void> {
    await this.send({ method: 'PATCH', path: '/vm', body: { state } }, options);
  }
}

function faultIn(content: unknown): unknown {
  const { fault_message: fault, error } = (content ?? {}) as { fault_message?: unknown; error?: unknown };
  return [fault, error].find((text) => typeof text === 'string');
}
