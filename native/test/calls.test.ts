import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as native from '../dist/index.js';
import * as cgroups from './cgroup-fixture.js';
import { EVERY_CALL, possibleCalls, prepareFixture, type Fixture } from './every-call.mjs';
import { openDescriptors } from './fixture.js';
import * as network from './network-fixture.js';

const hasNetwork = (await network.reasonForSkip()) === undefined;
const cgroupMount = cgroups.reasonForSkip() === undefined ? cgroups.cgroupMount() : undefined;
const possible = possibleCalls({ cgroupMount, hasNetwork });

let fixture: Fixture;
const folder = mkdtempSync(join(tmpdir(), 'microvm-native-'));
beforeAll(async () => {
  fixture = await prepareFixture(folder, cgroupMount, hasNetwork);
});
afterAll(async () => {
  await fixture.close();
  rmSync(folder, { recursive: true });
});

describe('every call that returns a promise', () => {
  test.each(Object.keys(possible))('%s works, and rejects with the reason of a signal', async (name) => {
    await possible[name]?.(fixture, `${name}-99`, {});
    const reason = new Error('no more');
    const options = { signal: AbortSignal.abort(reason) };
    await expect(possible[name]?.(fixture, `${name}-99`, options)).rejects.toBe(reason);
  });
});

/** Right first arguments, so that only the one under test is wrong. */
const path = '/nonexistent/microvm/x';
const link = { link: 'tap0' };
const identity = { pid: 1, startTime: '1', bootId: 'b' };
const RIGHT: Readonly<Record<string, readonly unknown[]>> = {
  spawnProcess: [{ file: 'true' }],
  searchProcesses: [{ argument: 'needle' }],
  lockDirectory: [path],
  writeDurable: [path, 'x'],
  putDurable: [{ copy: path }, path],
  removeDurable: [path],
  renameDurable: [path, path],
  connectUnix: [path],
  listenUnix: [path],
  probeKvm: [],
  copyFile: [path, path],
  digestFile: [path],
  discardFront: [path, 4096],
  stageJail: [{ root: path, uid: 1, gid: 1 }],
  flattenLayers: [{ layers: [], workDir: path, output: 987_654 }],
  openBeneath: [path, 'x'],
  removeTree: [path],
  waitForSocket: [{ path }],
  waitForVsock: [{ path, port: 1 }],
  listenVsock: [{ path, port: 1 }],
  createCgroup: [path],
  killCgroup: [path],
  createNetns: [path],
  deleteNetns: [path],
  netnsExists: [path],
  createNetworkSlot: [{ netns: path }],
  deleteNetworkSlot: [{ netns: path }],
  createTap: [{ name: 'tap0' }],
  createVeth: [{ name: 'eth0', host: { name: 'eth1' } }],
  setLink: [link],
  deleteLink: [link],
  addAddress: [{ ...link, address: '10.0.0.1/30' }],
  deleteAddress: [{ ...link, address: '10.0.0.1/30' }],
  addRoute: [{ ...link, to: '10.0.0.0/8' }],
  deleteRoute: [{ ...link, to: '10.0.0.0/8' }],
  listLinks: [{}],
  listAddresses: [{}],
  listRoutes: [{}],
  processIdentity: [1],
  watchProcess: [identity],
  closeDescriptor: [987_654],
  socketPair: [],
  sendDescriptors: [1, Buffer.from('x'), [1]],
};

/** Of no argument of any call: each has something to say against these. */
const NEVER_RIGHT = [null, 7.5, NaN, Symbol('x'), () => 1, 10n];
/** The calls whose options are the only argument, or the first. */
const OPTIONS_FIRST = ['spawnProcess', 'flattenLayers', 'waitForSocket', 'waitForVsock', 'listenVsock'];

function thrownBy(call: () => unknown): unknown {
  try {
    const result = call();
    if (result instanceof Promise) result.catch(() => undefined);
    return 'nothing';
  } catch (error) {
    return error;
  }
}

function expectTypeErrors(name: string, wrong: readonly (readonly unknown[])[]): void {
  const call = (native as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
  const files = readdirSync(folder, { recursive: true });
  const descriptors = openDescriptors();
  for (const args of wrong) {
    const thrown = thrownBy(() => call?.(...args));
    expect(thrown, `${name}(${args.map(String).join(', ')})`).toBeInstanceOf(TypeError);
    expect(thrown).toHaveProperty('code', 'ERR_INVALID_ARG_TYPE');
  }
  expect(readdirSync(folder, { recursive: true })).toEqual(files);
  expect(openDescriptors()).toBeLessThanOrEqual(descriptors);
}

test('the table of wrong arguments has every call', () => {
  const synchronous = ['processIdentity', 'watchProcess', 'closeDescriptor', 'socketPair', 'sendDescriptors'];
  expect(Object.keys(RIGHT).sort()).toEqual([...Object.keys(EVERY_CALL), ...synchronous].sort());
});

describe('a wrong argument is a TypeError at once', () => {
  test.each(Object.entries(RIGHT))('of %s', (name, right) => {
    const wrong = right.flatMap((_, index) => NEVER_RIGHT.map((value) => right.with(index, value)));
    expectTypeErrors(name, wrong);
    if (right.length > 0 && !['listLinks', 'listAddresses', 'listRoutes'].includes(name))
      expectTypeErrors(name, [[], right.with(0, undefined), right.with(0, '')]);
  });

  test.each(Object.keys(EVERY_CALL))('signal of %s', (name) => {
    const right = RIGHT[name] ?? [];
    const signals = [null, 1, {}, new EventTarget(), () => 1].map((signal) => ({ signal }));
    const wrong = OPTIONS_FIRST.includes(name)
      ? signals.map((signal) => [{ ...(right[0] as object), ...signal }])
      : [...signals, null, 7, 'x'].map((options) => [...right, options]);
    expectTypeErrors(name, wrong);
  });
});
