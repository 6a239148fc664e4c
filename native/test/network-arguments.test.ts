import { expect, test } from 'vitest';
import * as native from '../dist/index.js';
import { rejection } from './fixture.js';

const netns = '/nonexistent/netns';
const host = { name: 'h0' };

/** Each must be refused before anything is tried: no namespace of this name could exist. */
const WRONG: readonly [string, () => Promise<unknown>, RegExp][] = [
  ['an empty path', () => native.createNetns(''), /"path"/],
  ['a path with NUL', () => native.createNetns('/a\0b'), /"path"/],
  ['a path that is none', () => native.deleteNetns(7 as never), /"path"/],
  ['options that are none', () => native.createNetns('/a', 1 as never), /"options"/],
  ['a signal that is none', () => native.createNetns('/a', { signal: {} as never }), /"signal"/],
  ['a negative timeout', () => native.deleteNetns('/a', { timeoutMs: -1 }), /"timeoutMs"/],
  ['a timeout that is no number', () => native.deleteNetns('/a', { timeoutMs: NaN }), /"timeoutMs"/],
  ['no target', () => native.createTap(undefined as never), /"target"/],
  ['null', () => native.listLinks(null as never), /"target"/],
  ['a namespace that is none', () => native.listLinks({ netns: 5 as never }), /"netns"/],
  ['no name', () => native.createTap({ netns } as never), /"tap.name"/],
  ['an empty name', () => native.createTap({ netns, name: '' }), /"tap.name"/],
  [
    '16 bytes',
    () => native.createTap({ netns, name: 'a'.repeat(16) }),
    /"tap.name" must be an interface name/,
  ],
  ['16 bytes in 8 letters', () => native.createTap({ netns, name: 'ä'.repeat(8) }), /"tap.name"/],
  ['a pattern for names', () => native.createTap({ netns, name: 'tap%d' }), /"tap.name"/],
  ['a slash', () => native.createTap({ netns, name: 'a/b' }), /"tap.name"/],
  ['a space', () => native.createTap({ netns, name: 'a b' }), /"tap.name"/],
  ['a dot', () => native.createTap({ netns, name: '..' }), /"tap.name"/],
  ['a tiny MTU', () => native.createTap({ netns, name: 'a', mtu: 67 }), /"tap.mtu"/],
  ['half an MTU', () => native.createTap({ netns, name: 'a', mtu: 1500.5 }), /"tap.mtu"/],
  ['a MAC of a group', () => native.createTap({ netns, name: 'a', mac: '01:00:5e:00:00:01' }), /"tap.mac"/],
  ['no MAC at all', () => native.createTap({ netns, name: 'a', mac: '00:00:00:00:00:00' }), /"tap.mac"/],
  ['a short MAC', () => native.createTap({ netns, name: 'a', mac: '02:00' }), /"tap.mac"/],
  ['an owner of -1', () => native.createTap({ netns, name: 'a', owner: -1 }), /"tap.owner"/],
  ['the uid of nobody', () => native.createTap({ netns, name: 'a', owner: 0xffffffff }), /"tap.owner"/],
  ['a flag that is none', () => native.createTap({ netns, name: 'a', up: 1 as never }), /"tap.up"/],
  [
    'addresses that are no list',
    () => native.createTap({ netns, name: 'a', addresses: {} as never }),
    /"tap.addr/,
  ],
  [
    'no prefix',
    () => native.createTap({ netns, name: 'a', addresses: ['10.0.0.1'] }),
    /"tap.addresses\[0\]"/,
  ],
  [
    'a long prefix',
    () => native.addAddress({ netns, link: 'a', address: '10.0.0.1/33' }),
    /"address.address"/,
  ],
  ['a host name', () => native.addAddress({ netns, link: 'a', address: 'localhost/8' }), /"address.address"/],
  ['no link', () => native.deleteAddress({ netns, address: '10.0.0.1/8' } as never), /"address.link"/],
  ['host bits', () => native.addRoute({ netns, link: 'a', to: '10.0.0.1/8' }), /"route.to"/],
  ['default without gateway', () => native.addRoute({ netns, link: 'a', to: 'default' }), /"route.to"/],
  [
    'two families',
    () => native.addRoute({ netns, link: 'a', to: '10.0.0.0/8', via: 'fd00::1' }),
    /"route.via"/,
  ],
  [
    'a gateway with prefix',
    () => native.addRoute({ netns, link: 'a', to: '::/0', via: 'fd00::1/64' }),
    /via/,
  ],
  [
    'a negative metric',
    () => native.addRoute({ netns, link: 'a', to: '::/0', metric: -1 }),
    /"route.metric"/,
  ],
  ['a new name that is none', () => native.setLink({ netns, link: 'a', name: 'b:0' }), /"settings.name"/],
  ['no other end', () => native.createVeth({ netns, name: 'a' } as never), /"veth.host"/],
  [
    'a bad other end',
    () => native.createVeth({ netns, name: 'a', host: { name: 'b', mtu: 1 } }),
    /"veth.host.mtu"/,
  ],
  ['no namespace', () => native.createNetworkSlot({} as never), /"plan.netns"/],
  ['taps that are no list', () => native.createNetworkSlot({ netns, taps: 5 as never }), /"plan.taps"/],
  [
    'a tap that is none',
    () => native.createNetworkSlot({ netns, taps: [null as never] }),
    /"plan.taps\[0\]"/,
  ],
  [
    'a bad route deep inside',
    () =>
      native.createNetworkSlot({ netns, veths: [{ name: 'a', host: { ...host, routes: [{ to: 'x' }] } }] }),
    /"plan.veths\[0\].host.routes\[0\].to"/,
  ],
  [
    'one name twice inside',
    () => native.createNetworkSlot({ netns, taps: [{ name: 'a' }], veths: [{ name: 'a', host }] }),
    /name of its own/,
  ],
  [
    'one name twice outside',
    () => native.createNetworkSlot({ netns, veths: ['a', 'b'].map((name) => ({ name, host })) }),
    /name of its own/,
  ],
  [
    'a sysctl of the host',
    () => native.createNetworkSlot({ netns, sysctls: { 'kernel.hostname': 'x' } }),
    /sysctls/,
  ],
  [
    'a way out',
    () => native.createNetworkSlot({ netns, sysctls: { 'net/../kernel/hostname': 'x' } }),
    /sysctls/,
  ],
  [
    'a sysctl that is no text',
    () => native.createNetworkSlot({ netns, sysctls: { 'net.a': 1 as never } }),
    /net\.a/,
  ],
];

test.each(WRONG)('refuses %s before any effect', (_what, call, message) => {
  expect(call).toThrow(expect.objectContaining({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' }));
  expect(call).toThrow(message);
});

test('a getter that throws is the error, before any effect', () => {
  const plan = {
    netns,
    get taps(): never {
      throw new RangeError('from a getter');
    },
  };
  expect(() => native.createNetworkSlot(plan)).toThrow(new RangeError('from a getter'));
});

test('an aborted signal is the reason, before any effect', async () => {
  const signal = AbortSignal.abort(new Error('no'));
  for (const call of [
    () => native.createNetns('/nonexistent/netns', { signal }),
    () => native.deleteNetns('/nonexistent/netns', { signal }),
    () => native.listLinks({}, { signal }),
    () => native.createNetworkSlot({ netns }, { signal }),
    () => native.deleteNetworkSlot({ netns }, { signal }),
  ]) {
    expect(await rejection(call())).toMatchObject({ message: 'no' });
  }
});
