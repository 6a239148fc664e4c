/**
 * System primitives for microVMs. Linux only. Importing this module does nothing: the addon is loaded by the
 * first call, which throws an error that names platform, architecture, C library and remedy when it cannot
 * be.
 *
 * Every system error has Node's own shape ({@link SystemError}). Wrong arguments are a `TypeError`, thrown
 * synchronously, before any effect (also by the functions that return a promise).
 */

export * from './cgroup.js';
export * from './copy.js';
export * from './descriptors.js';
export * from './digest.js';
export * from './discard.js';
export * from './durable.js';
export type * from './errors.js';
export * from './folders.js';
export * from './jail.js';
export * from './kvm.js';
export * from './layers.js';
export * from './lock.js';
export * from './network.js';
export * from './network-lists.js';
export * from './process.js';
export * from './put.js';
export * from './search.js';
export * from './sockets.js';
export * from './trees.js';
export * from './waits.js';
export * from './watcher.js';
