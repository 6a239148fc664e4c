import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  addAddress,
  addRoute,
  createNetns,
  createTap,
  createVeth,
  deleteAddress,
  deleteLink,
  deleteNetns,
  deleteRoute,
  listAddresses,
  listLinks,
  listRoutes,
  netnsExists,
  setLink,
  spawnProcess,
} from '../dist/index.js';
import { rejection, temporaryFolder, threads } from './fixture.js';
import { findLink, mountsBelow, namespacesOfThreads, reasonForSkip, slotNames } from './network-fixture.js';

const skip = await reasonForSkip();

/** A namespace of its own for the running test. */
async function newNetns(): Promise<ReturnType<typeof slotNames>> {
  const names = slotNames();
  await createNetns(names.netns);
  return names;
}

describe.skipIf(skip !== undefined)('namespaces', () => {
  test('are kept by a mount until they are deleted, and deleting again is no error', async () => {
    const { netns } = slotNames();
    expect(await netnsExists(netns)).toBe(false);
    await createNetns(netns);
    expect(await netnsExists(netns)).toBe(true);
    expect(mountsBelow(dirname(netns))).toBe(1);
    expect((await listLinks({ netns })).map(({ name, up }) => ({ name, up }))).toEqual([
      { name: 'lo', up: false },
    ]);
    expect(await deleteNetns(netns)).toBe(true);
    expect(await deleteNetns(netns)).toBe(false);
    expect(readdirSync(dirname(netns))).toEqual([]);
    expect(mountsBelow(dirname(netns))).toBe(0);
  });

  test('are not made where something is', async () => {
    const { netns } = await newNetns();
    expect(await rejection(createNetns(netns))).toMatchObject({ code: 'EEXIST', errno: -17, path: netns });
    expect(await netnsExists(netns)).toBe(true);
    const missing = join(dirname(netns), 'no', 'netns');
    expect(await rejection(createNetns(missing))).toMatchObject({ code: 'ENOENT', path: missing });
  });

  test('deleting removes what a reboot left, and no other file', async () => {
    const folder = temporaryFolder();
    const left = join(folder, 'left');
    writeFileSync(left, '');
    expect(await netnsExists(left)).toBe(false);
    expect(await deleteNetns(left)).toBe(true);
    writeFileSync(join(folder, 'file'), 'precious');
    mkdirSync(join(folder, 'folder'));
    symlinkSync('/proc/self/ns/net', join(folder, 'link'));
    for (const name of ['file', 'folder', 'link']) {
      const path = join(folder, name);
      expect(await rejection(deleteNetns(path))).toMatchObject({ code: 'EINVAL', syscall: 'umount2', path });
    }
    expect(readdirSync(folder).sort()).toEqual(['file', 'folder', 'link']);
  });

  test('deleting waits until the links of the host are gone', async () => {
    const { netns, host } = await newNetns();
    await createVeth({ netns, name: 'eth0', host: { name: host } });
    expect(await deleteNetns(netns)).toBe(true);
    expect(await findLink(host)).toBeUndefined();
  });

  test('deleting names the link that a process inside keeps, in bounded time', async () => {
    const { netns, host } = await newNetns();
    await createVeth({ netns, name: 'eth0', host: { name: host } });
    const child = await spawnProcess({ file: '/bin/sleep', args: ['1000'], netns });
    const aborted = new AbortController();
    const abort = rejection(deleteNetns(netns, { signal: aborted.signal, timeoutMs: 60_000 }));
    expect(await findLink(host)).toBeDefined();
    aborted.abort(new Error('enough'));
    // It may have come before the mount was gone: then the next call finds that.
    expect(await abort).toMatchObject({ message: 'enough' });
    await deleteNetns(netns, { timeoutMs: 0 }).catch(() => undefined);
    expect(await netnsExists(netns)).toBe(false);
    const { netns: second, host: secondHost } = await newNetns();
    await createVeth({ netns: second, name: 'eth0', host: { name: secondHost } });
    const other = await spawnProcess({ file: '/bin/sleep', args: ['1000'], netns: second });
    expect(await rejection(deleteNetns(second, { timeoutMs: 50 }))).toMatchObject({
      code: 'ETIMEDOUT',
      path: second,
      object: secondHost,
    });
    expect(await netnsExists(second)).toBe(false);
    for (const process of [child, other]) {
      process.kill('SIGKILL');
      await process.exited;
    }
    await deleteLink({ link: host });
    await deleteLink({ link: secondHost });
  });
});

describe.skipIf(skip !== undefined)('links', () => {
  test('a TAP device is persistent and has its owner, group, flags, address and size', async () => {
    const { netns } = await newNetns();
    await createTap({
      netns,
      name: 'tap0',
      owner: 12345,
      group: 54321,
      multiQueue: true,
      vnetHdr: true,
      mac: '02:00:00:00:00:07',
      mtu: 9000,
      addresses: ['10.0.0.1/30'],
    });
    await createTap({ netns, name: 'tap1', up: false });
    expect(await findLink('tap0', netns)).toMatchObject({
      kind: 'tap',
      up: true,
      carrier: false,
      mac: '02:00:00:00:00:07',
      mtu: 9000,
      tap: { owner: 12345, group: 54321, persistent: true, vnetHdr: true, multiQueue: true },
    });
    expect(await findLink('tap1', netns)).toMatchObject({
      up: false,
      mtu: 1500,
      tap: { owner: null, group: null, persistent: true, vnetHdr: false, multiQueue: false },
    });
    expect(await findLink('tap0')).toBeUndefined();
  });

  test('a TAP device that cannot be made whole is not made', async () => {
    const { netns } = await newNetns();
    const tooBig = createTap({ netns, name: 'tap0', mtu: 65535 });
    expect(await rejection(tooBig)).toMatchObject({
      code: 'EINVAL',
      syscall: 'RTM_SETLINK',
      object: 'tap0',
      path: netns,
      detail: 'mtu greater than device maximum',
    });
    const noGateway = createTap({ netns, name: 'tap0', routes: [{ to: '10.9.0.0/16', via: '10.8.0.1' }] });
    expect(await rejection(noGateway)).toMatchObject({
      code: 'ENETUNREACH',
      object: '10.9.0.0/16 via 10.8.0.1 dev tap0',
    });
    expect(await findLink('tap0', netns)).toBeUndefined();
    await createTap({ netns, name: 'tap0' });
    expect(await rejection(createTap({ netns, name: 'tap0' }))).toMatchObject({
      code: 'EEXIST',
      syscall: 'TUNSETIFF',
      object: 'tap0',
    });
  });

  test('a pair has one end inside; a taken name is named', async () => {
    const { netns, host } = await newNetns();
    await createVeth({ netns, name: 'eth0', mtu: 1300, host: { name: host, mtu: 1200, up: false } });
    const [outer, inner] = [await findLink(host), await findLink('eth0', netns)];
    expect(outer).toMatchObject({
      kind: 'veth',
      up: false,
      mtu: 1200,
      alias: netns,
      peer: { index: inner?.index },
    });
    expect(inner).toMatchObject({ kind: 'veth', up: true, mtu: 1300, peer: { index: outer?.index } });
    expect(outer?.peer?.netnsId).not.toBeNull();
    const takenOutside = createVeth({ netns, name: 'eth1', host: { name: host } });
    expect(await rejection(takenOutside)).toMatchObject({ code: 'EEXIST', object: host });
    const takenInside = createVeth({ netns, name: 'eth0', host: { name: `${host}x` } });
    expect(await rejection(takenInside)).toMatchObject({ code: 'EEXIST', object: 'eth0' });
    expect(await findLink('eth1', netns)).toBeUndefined();
    expect(await findLink(`${host}x`)).toBeUndefined();
    expect(await deleteLink({ link: host })).toBe(true);
    expect(await findLink('eth0', netns)).toBeUndefined();
    expect(await deleteLink({ link: host })).toBe(false);
  });

  test('can be changed and renamed', async () => {
    const { netns } = await newNetns();
    await createTap({ netns, name: 'tap0' });
    await setLink({ netns, link: 'tap0', up: false, mtu: 1280, mac: '02:00:00:00:00:09' });
    await setLink({ netns, link: 'tap0', name: 'tap9' });
    expect(await findLink('tap9', netns)).toMatchObject({ up: false, mtu: 1280, mac: '02:00:00:00:00:09' });
    expect(await findLink('tap0', netns)).toBeUndefined();
    expect(await rejection(setLink({ netns, link: 'tap0', up: true }))).toMatchObject({
      code: 'ENODEV',
      object: 'tap0',
      path: netns,
    });
  });

  test('of hardware and the loopback are not deleted', async () => {
    const { netns } = await newNetns();
    expect(await rejection(deleteLink({ netns, link: 'lo' }))).toMatchObject({
      code: 'ENOTSUP',
      syscall: 'RTM_DELLINK',
      object: 'lo',
    });
  });
});

describe.skipIf(skip !== undefined)('addresses and routes', () => {
  test('are added once and deleted at most once', async () => {
    const { netns } = await newNetns();
    await createTap({ netns, name: 'tap0' });
    for (const address of ['10.0.0.1/24', 'fd00::1/64']) {
      const target = { netns, link: 'tap0', address };
      await addAddress(target);
      expect(await rejection(addAddress(target))).toMatchObject({
        code: 'EEXIST',
        syscall: 'RTM_NEWADDR',
        object: `${address} dev tap0`,
      });
      expect(await listAddresses({ netns })).toContainEqual({
        link: 'tap0',
        address,
        peer: null,
        scope: 'global',
        tentative: false,
        duplicate: false,
      });
    }
    for (const route of [
      { to: '10.7.0.0/16', via: '10.0.0.2', metric: 5 },
      { to: 'default', via: '10.0.0.2' },
      { to: '10.8.0.0/16', source: '10.0.0.1' },
      { to: '10.9.0.0/16', via: '192.0.2.77', onLink: true },
      { to: 'fd00:7::/64', via: 'fd00::2', metric: 5 },
      { to: '::/0', via: 'fd00::2', metric: 7 },
    ]) {
      const target = { netns, link: 'tap0', ...route };
      await addRoute(target);
      expect(await rejection(addRoute(target))).toMatchObject({ code: 'EEXIST', syscall: 'RTM_NEWROUTE' });
      const to = route.to === 'default' ? '0.0.0.0/0' : route.to;
      const listed = (await listRoutes({ netns })).find((entry) => entry.to === to);
      expect(listed).toMatchObject({
        link: 'tap0',
        via: route.via ?? null,
        source: route.source ?? null,
        protocol: 'static',
        type: 'unicast',
        ...(route.metric === undefined ? {} : { metric: route.metric }),
      });
      expect(await deleteRoute(target)).toBe(true);
      expect(await deleteRoute(target)).toBe(false);
    }
    for (const address of ['10.0.0.1/24', 'fd00::1/64']) {
      expect(await deleteAddress({ netns, link: 'tap0', address })).toBe(true);
      expect(await deleteAddress({ netns, link: 'tap0', address })).toBe(false);
    }
    expect((await listRoutes({ netns })).filter(({ protocol }) => protocol === 'static')).toEqual([]);
  });

  test('carry packets between the host and the namespace', async () => {
    const { netns, host, hostIp, innerIp } = await newNetns();
    await createVeth({
      netns,
      name: 'eth0',
      addresses: [`${innerIp}/30`],
      host: { name: host, addresses: [`${hostIp}/30`] },
    });
    const server = createServer();
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(0, hostIp, resolve));
    const from = new Promise<string | undefined>((resolve) => {
      server.on('connection', (socket) => {
        resolve(socket.remoteAddress);
        socket.destroy();
      });
    });
    const { port } = server.address() as { port: number };
    const code = `require('node:net').connect(${port}, '${hostIp}').on('error', () => {})`;
    const child = await spawnProcess({ file: process.execPath, args: ['-e', code], netns });
    expect(await from).toBe(innerIp);
    await child.exited;
  });
});

describe.skipIf(skip !== undefined)('every call', () => {
  test('about a namespace that is gone: deleting is done already, all else is ENOENT', async () => {
    const { netns } = slotNames();
    expect(await deleteLink({ netns, link: 'tap0' })).toBe(false);
    expect(await deleteAddress({ netns, link: 'tap0', address: '10.0.0.1/30' })).toBe(false);
    expect(await deleteRoute({ netns, link: 'tap0', to: '10.0.0.0/30' })).toBe(false);
    for (const call of [
      () => listLinks({ netns }),
      () => listAddresses({ netns }),
      () => listRoutes({ netns }),
      () => setLink({ netns, link: 'lo', up: true }),
      () => createTap({ netns, name: 'tap0' }),
      () => createVeth({ netns, name: 'eth0', host: { name: 'mvnowhere' } }),
      () => addAddress({ netns, link: 'lo', address: '10.0.0.1/30' }),
      () => addRoute({ netns, link: 'lo', to: '10.0.0.0/30' }),
    ]) {
      expect(await rejection(call())).toMatchObject({ code: 'ENOENT', errno: -2, path: netns });
    }
    expect(await findLink('mvnowhere')).toBeUndefined();
  });

  test('about a link that is missing names it', async () => {
    const { netns } = await newNetns();
    for (const call of [
      () => setLink({ netns, link: 'tap7', up: true }),
      () => addAddress({ netns, link: 'tap7', address: '10.0.0.1/30' }),
      () => addRoute({ netns, link: 'tap7', to: '10.0.0.0/30' }),
    ]) {
      const error = await rejection(call());
      expect(error).toMatchObject({ code: 'ENODEV', errno: -19, object: 'tap7', path: netns });
      expect(error['message']).toBe(`ENODEV: no such device, SIOCGIFINDEX 'tap7' in '${netns}'`);
    }
    expect(await deleteLink({ netns, link: 'tap7' })).toBe(false);
    expect(await deleteAddress({ netns, link: 'tap7', address: '10.0.0.1/30' })).toBe(false);
    expect(await deleteRoute({ netns, link: 'tap7', to: '10.0.0.0/30' })).toBe(false);
  });

  test('leaves the threads of the process where they were', async () => {
    const before = namespacesOfThreads(threads());
    const { netns } = await newNetns();
    const targets = Array.from({ length: 50 }, () => listLinks({ netns }));
    await Promise.all(targets);
    await expect.poll(() => namespacesOfThreads(threads())).toEqual(before);
    expect(before.size).toBe(1);
  });
});
