import type { NetworkCallOptions, NetworkTarget } from './network.js';
import { aboutNetns } from './network-call.js';

export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** `veth`, `tap`, `tun`, `bridge`…; null for the loopback and hardware. */
  readonly kind: string | null;
  readonly up: boolean;
  /** Whether the other end is up; for a TAP device, whether a program has it open. */
  readonly carrier: boolean;
  readonly mac: string | null;
  readonly mtu: number;
  readonly alias: string | null;
  /**
   * Of a veth: the index of the other end and the number its namespace has in this one; null when it is the
   * same one.
   */
  readonly peer: { readonly index: number; readonly netnsId: number | null } | null;
  readonly tap: {
    readonly owner: number | null;
    readonly group: number | null;
    readonly persistent: boolean;
    readonly vnetHdr: boolean;
    readonly multiQueue: boolean;
  } | null;
}

/** All links of a namespace. `ENOENT` when there is no such namespace. */
export function listLinks(target: NetworkTarget = {}, options?: NetworkCallOptions): Promise<LinkInfo[]> {
  return aboutNetns('listLinks', target, options);
}

export interface AddressInfo {
  /** The link's name; null when it went while the list was made. */
  readonly link: string | null;
  /** With the length of the prefix. */
  readonly address: string;
  /** The other end's address, of a point-to-point link. */
  readonly peer: string | null;
  /** `global`, `site`, `link`, `host`, `nowhere` or a number. */
  readonly scope: string;
  /** Not yet usable: the kernel still looks for duplicates. */
  readonly tentative: boolean;
  /** Somebody else has it: never usable. */
  readonly duplicate: boolean;
}

/** All IPv4 and IPv6 addresses of a namespace. */
export function listAddresses(
  target: NetworkTarget = {},
  options?: NetworkCallOptions,
): Promise<AddressInfo[]> {
  return aboutNetns('listAddresses', target, options);
}

/** One way of a route: a route over several gateways is several of these. */
export interface RouteInfo {
  /** A network; the default route is `0.0.0.0/0` or `::/0`. */
  readonly to: string;
  readonly via: string | null;
  /** The link's name; null for a route without one (`blackhole`…). */
  readonly link: string | null;
  readonly source: string | null;
  readonly metric: number;
  /** `unicast`, `blackhole`, `unreachable`, `prohibit`… or a number. */
  readonly type: string;
  /** As of {@link AddressInfo.scope}. */
  readonly scope: string;
  /** Who made it: `kernel`, `boot`, `static` (also ours), `ra`, `dhcp` or a number. */
  readonly protocol: string;
}

/** All IPv4 and IPv6 routes of a namespace's main table. */
export function listRoutes(target: NetworkTarget = {}, options?: NetworkCallOptions): Promise<RouteInfo[]> {
  return aboutNetns('listRoutes', target, options);
}
