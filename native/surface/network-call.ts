import type { Addon } from './addon.js';
import { abortable, absolute, object, type Started } from './calls.js';
import { loadAddon } from './load.js';
import type { NetworkCallOptions, NetworkTarget } from './network.js';

/** The functions of the addon that take one object with the path of a namespace. */
type NetworkFunctions = {
  [
    Name in keyof Addon as Addon[Name] extends (request: object) => Started<infer _> ? Name : never
  ]: Addon[Name];
};
type Yielded<Name extends keyof NetworkFunctions> = NetworkFunctions[Name] extends (
  request: object,
) => Started<infer Value>
  ? Value
  : never;

/** Calls the function with the namespace's path as the kernel will see it. */
export function aboutNetns<Name extends keyof NetworkFunctions>(
  name: Name,
  target: NetworkTarget,
  options: NetworkCallOptions = {},
): Promise<Yielded<Name>> {
  const { signal } = object(options, 'options');
  const { netns } = object(target, 'target');
  const request = netns === undefined ? target : { ...target, netns: absolute(netns, 'netns') };
  const call = loadAddon()[name] as (request: object) => Started<Yielded<Name>>;
  return abortable(signal, () => call(request));
}
