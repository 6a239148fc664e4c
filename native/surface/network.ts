import { abortable, absolute, object } from './calls.js';
import type { SystemError } from './errors.js';
import { loadAddon } from './load.js';
import { aboutNetns } from './network-call.js';

/*
 * Network namespaces, links, addresses and routes, by netlink: no external program. Every call works on a
 * thread of its own that lives as long as the call. All need CAP_NET_ADMIN, those that enter or make a
 * namespace CAP_SYS_ADMIN too.
 *
 * `netns` is the path of a namespace's file: one of {@link createNetns}, of `ip netns` or
 * `/proc/<pid>/ns/net`. Without it the call is about our own namespace, "the host" below.
 */

const DELETION_TIMEOUT_MS = 10_000;

/** The step that failed, with its reason; `path` is the namespace in which the step failed. */
export interface NetworkError extends SystemError {
  /** The step: a system call, or the request to the kernel such as `RTM_NEWLINK` or `TUNSETIFF`. */
  readonly syscall: string;
  /** The object of the step: a link (`tap0`), an address or a route (`10.0.0.1/30 dev tap0`). */
  readonly object?: string;
  /** The kernel's own words, when it has any, such as `Nexthop has invalid gateway`. */
  readonly detail?: string;
}

export interface NetworkCallOptions {
  /**
   * An abort rejects with the signal's reason if there was still something to stop: a call that is one step
   * long either has not begun or is carried through.
   */
  readonly signal?: AbortSignal;
}

/** Where a call works; default: the host. */
export interface NetworkTarget {
  readonly netns?: string;
}

/**
 * Makes a network namespace and keeps it by a bind mount at this path, where nothing may be. Its loopback is
 * down.
 *
 * @throws NetworkError (as rejection): `EEXIST` when there is a file, `ENOENT` when the folder is missing,
 * `EPERM`.
 */
export function createNetns(path: string, options: NetworkCallOptions = {}): Promise<void> {
  const { signal } = object(options, 'options');
  const netns = absolute(path, 'path');
  return abortable(signal, () => loadAddon().createNetns(netns));
}

export interface DeleteNetnsOptions extends NetworkCallOptions {
  /** How long to wait for the links to go; default 10,000. */
  readonly timeoutMs?: number;
}

/**
 * Lets go of a namespace and waits until every link of the host that had its peer in there is gone: then
 * their names and addresses are free. Also removes what a crash or a reboot left: the file without the
 * namespace.
 *
 * @returns false when there was nothing at the path.
 * @throws NetworkError (as rejection): `ETIMEDOUT` names a link that is still there, since some process holds
 * the namespace (the mount and the file are gone even so); `EINVAL` when the path is any other file, which is
 * left alone.
 */
export function deleteNetns(path: string, options: DeleteNetnsOptions = {}): Promise<boolean> {
  const { signal, timeoutMs = DELETION_TIMEOUT_MS } = object(options, 'options');
  const netns = absolute(path, 'path');
  return abortable(signal, () => loadAddon().deleteNetns(netns, timeoutMs));
}

/** Whether a namespace is kept at this path; false also for a file that a reboot left. */
export function netnsExists(path: string, options: NetworkCallOptions = {}): Promise<boolean> {
  const { signal } = object(options, 'options');
  const netns = absolute(path, 'path');
  return abortable(signal, () => loadAddon().netnsExists(netns));
}

/** A route through the link that it belongs to, in the main table. */
export interface RoutePlan {
  /** A network such as `10.1.0.0/16`, or `default` together with `via`. */
  readonly to: string;
  /** The gateway; without it the network is on the link itself. */
  readonly via?: string;
  /** The preferred source address. */
  readonly source?: string;
  readonly metric?: number;
  /** The gateway is on the link though no prefix of the link says so. Default false. */
  readonly onLink?: boolean;
}

export interface LinkPlan {
  /** 1 to 15 visible ASCII characters without `/`, `:` and `%`. */
  readonly name: string;
  /** Default true. */
  readonly up?: boolean;
  /** Bytes; default: the kernel's, 1500. */
  readonly mtu?: number;
  /** Such as `02:00:00:00:00:01`; default: the kernel's, random. */
  readonly mac?: string;
  /**
   * The address with the length of its prefix, such as `10.0.0.1/30` or `fd00::1/64`. IPv6 addresses are
   * usable at once (no DAD).
   */
  readonly addresses?: readonly string[];
  readonly routes?: readonly RoutePlan[];
}

/** A persistent TAP device. */
export interface TapPlan extends LinkPlan {
  /** The uid that may open it besides root; default: anybody who may open `/dev/net/tun`. */
  readonly owner?: number;
  /** The same for a gid. */
  readonly group?: number;
  /** Packets have a virtio-net header. Who opens it decides again. Default false. */
  readonly vnetHdr?: boolean;
  /** Several programs may open the device at once, each with that flag. Default false. */
  readonly multiQueue?: boolean;
}

/** A veth pair: this end is in the namespace, the other on the host. */
export interface VethPlan extends LinkPlan {
  readonly host: LinkPlan;
}

/**
 * A slot: a network namespace with its links. Plain data that says everything the slot will be made of, so
 * that it can be written down before the slot is made, and the slot removed after a crash.
 */
export interface NetworkSlotPlan {
  /** Where the namespace is kept; the folder must exist. */
  readonly netns: string;
  /**
   * Written inside before there are links, such as `{ 'net.ipv4.ip_forward': '1' }`; only names of `net.`.
   */
  readonly sysctls?: Readonly<Record<string, string>>;
  readonly taps?: readonly TapPlan[];
  readonly veths?: readonly VethPlan[];
}

/**
 * Makes all of the plan, or nothing: a failure or an abort leaves nothing behind. The loopback of the slot is
 * up. The host's end of a pair has the path of the namespace as its alias, which says to whom it belongs.
 *
 * @throws NetworkError (as rejection): `EEXIST` with the path or the name of the link that exists…
 */
export function createNetworkSlot(plan: NetworkSlotPlan, options?: NetworkCallOptions): Promise<void> {
  return aboutNetns('createNetworkSlot', plan, options);
}

/**
 * Removes what there is of the plan: whole, or as a crash left it. Never touches a link of the host that only
 * has the same name. When it resolves, the host's links are gone, their names and addresses free; the kernel
 * frees the rest soon, or when the last process has left the namespace. After a failure or an abort it may be
 * called again.
 *
 * @returns false when there was nothing.
 * @throws NetworkError (as rejection).
 */
export function deleteNetworkSlot(plan: NetworkSlotPlan, options?: NetworkCallOptions): Promise<boolean> {
  return aboutNetns('deleteNetworkSlot', plan, options);
}

/** Makes a persistent TAP device, whole or not at all. `EEXIST` when the name is taken. */
export function createTap(tap: TapPlan & NetworkTarget, options?: NetworkCallOptions): Promise<void> {
  return aboutNetns('createTap', tap, options);
}

/**
 * Makes a veth pair, whole or not at all: one end in the namespace, `host` in ours (both in ours without
 * `netns`). `EEXIST` names the end whose name is taken.
 */
export function createVeth(veth: VethPlan & NetworkTarget, options?: NetworkCallOptions): Promise<void> {
  return aboutNetns('createVeth', veth, options);
}

export interface LinkSettings extends NetworkTarget {
  /** The link, by its present name. */
  readonly link: string;
  /** Its new name. Kernels before 6.2 want the link down for that (`EBUSY`). */
  readonly name?: string;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
}

/**
 * Changes a link. The kernel changes one thing after the other, `up` last, and stops at the first that it
 * refuses.
 *
 * @throws NetworkError (as rejection): `ENODEV`, `EINVAL`…
 */
export function setLink(settings: LinkSettings, options?: NetworkCallOptions): Promise<void> {
  return aboutNetns('setLink', settings, options);
}

export interface LinkTarget extends NetworkTarget {
  readonly link: string;
}

/**
 * Deletes a link, with its addresses and routes; of a veth pair both ends. When it resolves the name is free.
 *
 * @returns false when there was no such link (or no such namespace). `ENOTSUP` for the loopback and hardware.
 */
export function deleteLink(link: LinkTarget, options?: NetworkCallOptions): Promise<boolean> {
  return aboutNetns('deleteLink', link, options);
}

export interface AddressTarget extends LinkTarget {
  /** With the length of the prefix, such as `10.0.0.1/30`. */
  readonly address: string;
}

/**
 * Gives a link an address. `EEXIST` when it has it. An IPv6 one is usable at once: nobody looks for
 * duplicates.
 */
export function addAddress(address: AddressTarget, options?: NetworkCallOptions): Promise<void> {
  return aboutNetns('addAddress', address, options);
}

/**
 * Takes an address away. The kernel then also drops the other IPv4 addresses of that link in the same
 * network, when this was the first of them and `promote_secondaries` is off.
 *
 * @returns false when the link did not have it (or there is no such link or namespace).
 */
export function deleteAddress(address: AddressTarget, options?: NetworkCallOptions): Promise<boolean> {
  return aboutNetns('deleteAddress', address, options);
}

export interface RouteTarget extends RoutePlan, LinkTarget {}

/**
 * Adds a route. `EEXIST` when there is one to that network with that metric; `ENETUNREACH` when `via` is not
 * on the link.
 */
export function addRoute(route: RouteTarget, options?: NetworkCallOptions): Promise<void> {
  return aboutNetns('addRoute', route, options);
}

/**
 * Deletes the first route to that network through that link; `via`, `source` and `metric` count only when
 * given.
 *
 * @returns false when there is none (or no such link or namespace).
 */
export function deleteRoute(route: RouteTarget, options?: NetworkCallOptions): Promise<boolean> {
  return aboutNetns('deleteRoute', route, options);
}
