import { abortable, absolute, object } from './calls.js';
import { loadAddon } from './load.js';

const DELETION_TIMEOUT_MS = 10_000;

/** Runs a function of the addon that takes one object with the path of a namespace, and yields `{ id, settled }`. */
function call(name, target, options = {}) {
  const { signal } = object(options, 'options');
  const { netns } = object(target, 'target');
  const argument = netns === undefined ? target : { ...target, netns: absolute(netns, 'netns') };
  return abortable(signal, () => loadAddon()[name](argument));
}

export function createNetns(path, options = {}) {
  const { signal } = object(options, 'options');
  const netns = absolute(path, 'path');
  return abortable(signal, () => loadAddon().createNetns(netns));
}

export function deleteNetns(path, options = {}) {
  const { signal, timeoutMs = DELETION_TIMEOUT_MS } = object(options, 'options');
  const netns = absolute(path, 'path');
  return abortable(signal, () => loadAddon().deleteNetns(netns, timeoutMs));
}

export function netnsExists(path, options = {}) {
  const { signal } = object(options, 'options');
  const netns = absolute(path, 'path');
  return abortable(signal, () => loadAddon().netnsExists(netns));
}

export function createNetworkSlot(plan, options) {
  return call('createNetworkSlot', plan, options);
}

export function deleteNetworkSlot(plan, options) {
  return call('deleteNetworkSlot', plan, options);
}

export function createTap(tap, options) {
  return call('createTap', tap, options);
}

export function createVeth(veth, options) {
  return call('createVeth', veth, options);
}

export function setLink(settings, options) {
  return call('setLink', settings, options);
}

export function deleteLink(link, options) {
  return call('deleteLink', link, options);
}

export function addAddress(address, options) {
  return call('addAddress', address, options);
}

export function deleteAddress(address, options) {
  return call('deleteAddress', address, options);
}

export function addRoute(route, options) {
  return call('addRoute', route, options);
}

export function deleteRoute(route, options) {
  return call('deleteRoute', route, options);
}

export function listLinks(target = {}, options) {
  return call('listLinks', target, options);
}

export function listAddresses(target = {}, options) {
  return call('listAddresses', target, options);
}

export function listRoutes(target = {}, options) {
  return call('listRoutes', target, options);
}
