import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Addon } from '../surface/addon.js';

/** Every function that the TypeScript in front of the addon knows; the compiler asks for each. */
const KNOWN: Readonly<Record<keyof Addon, true>> = {
  acceptSocket: true,
  addAddress: true,
  addRoute: true,
  bootId: true,
  cancelJob: true,
  cancelWait: true,
  claim: true,
  closeDescriptor: true,
  closeListener: true,
  closeProcess: true,
  closeTree: true,
  connectUnix: true,
  copyFile: true,
  createCgroup: true,
  createNetns: true,
  createNetworkSlot: true,
  createTap: true,
  createVeth: true,
  deleteAddress: true,
  deleteLink: true,
  deleteNetns: true,
  deleteNetworkSlot: true,
  deleteRoute: true,
  digestFile: true,
  discardFront: true,
  feedTree: true,
  giveBack: true,
  holdProcess: true,
  killCgroup: true,
  killProcess: true,
  listAddresses: true,
  listLinks: true,
  listRoutes: true,
  listenSocket: true,
  listenUnix: true,
  lockDirectory: true,
  netnsExists: true,
  openBeneath: true,
  openTreeFeed: true,
  openTreeSource: true,
  probeKvm: true,
  processIdentity: true,
  putDurable: true,
  readTree: true,
  removeDurable: true,
  removeTree: true,
  renameDurable: true,
  searchProcesses: true,
  sendDescriptors: true,
  setLink: true,
  socketPair: true,
  spawnProcess: true,
  stageJail: true,
  takeTurns: true,
  unlockDirectory: true,
  waitForSocket: true,
  waitForVsock: true,
  watchProcess: true,
  writeDurable: true,
};

test('the addon has exactly the functions that the TypeScript in front of it is written for', () => {
  const load = createRequire(import.meta.url)('node-gyp-build') as (folder: string) => object;
  const addon = load(fileURLToPath(new URL('..', import.meta.url)));
  expect(Object.keys(addon).sort()).toEqual(Object.keys(KNOWN).sort());
});
