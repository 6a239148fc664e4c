import type { KeepAlive, VmRuntime } from '@microvm/runtime';
import type { CreateOptions, CreateSpec } from './options.js';
import type { Vm } from './vm.js';

/** What the objects of one runtime share. */
export interface Context {
  readonly runtime: VmRuntime;
  readonly alive: KeepAlive;
  launch(spec: CreateSpec, options?: CreateOptions): Promise<Vm>;
}
