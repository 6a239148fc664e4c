import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import type { SecretValue, VmEvent, VmRuntime, VmSpec, VmState } from '@microvm/runtime';
import { describe, expect, test } from 'vitest';
import { refusal, rejection, viewOf, withoutEffect } from '../expectations.js';
import type { ProviderFixture } from '../fixture.js';
import { placesOf, shapesOf } from '../search-secret.js';
import { secretsIn } from '../variables-in.js';

const present = (name: string) => ({ name, state: 'present' });
const missing = (name: string) => ({ name, state: 'missing' });

/** Secrets: in the guest, and nowhere else. */
export function registerSecrets(fixture: ProviderFixture): void {
  if (!fixture.capabilities.guestAgent) return;
  const { pause, memorySnapshot } = fixture.capabilities;
  describe('secrets', () => {
    test('are files of the guest, and variables of commands that name them', () => areGiven(fixture));
    test('are replaced, and gone with deleteSecret', () => areDeleted(fixture));
    if (pause) test('that are given to a paused VM are there when it goes on', () => waitForResume(fixture));
    test('are given at create', () => areGivenAtCreate(fixture));
    for (const state of ['stopped', 'crashed'] as const) {
      test(`of a VM that is ${state} are missing, and a start needs them again`, () =>
        endWith(fixture, state));
    }
    if (fixture.factory.hasLiveGuests ?? true)
      test('are there again after a reboot of the guest', () => outliveReboot(fixture));
    if (fixture.isDurable) test('end with their owner', () => endWithOwner(fixture));
    test('with a wrong name or value, or too many, are refused, without a word of the value', () =>
      areChecked(fixture));
    test('of a VM without an agent are refused', () => needAgent(fixture));
    test('tell a request under one key from another one', () => tellRequests(fixture));
    if (fixture.isDurable) {
      test('are in no file, event, error, job, argument or environment of the host', () =>
        areNowhere(fixture));
    }
    if (memorySnapshot) registerSnapshots(fixture);
  });
}

function registerSnapshots(fixture: ProviderFixture): void {
  test('keep a snapshot with memory from being taken, unless they are allowed in it', () =>
    refuseCapture(fixture));
  test('of a snapshot are not inherited', () => areNotInherited(fixture));
  test('of a snapshot are inherited when that is asked for', () => areInherited(fixture));
  test('are given to a restored guest before its workload goes on', () => areGivenToRestored(fixture));
}

async function areGiven(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setEnv(vmId, { TOKEN: 'of vm' });
  const view = await runtime.setSecret(vmId, 'token', 'open sesame');
  expect(view.secrets).toEqual([present('token')]);
  expect(await runtime.getVm(vmId)).toEqual(view);
  await runtime.setSecret(vmId, 'key', { base64: Buffer.from('a\0b').toString('base64') });
  expect(await secretsIn(runtime, vmId, ['token', 'key', 'none'])).toEqual({
    token: 'open sesame',
    key: 'a\0b',
  });
  const guest = await runtime.guest(vmId);
  const variable = async (secrets: Readonly<Record<string, string>>): Promise<string> => {
    const { stdout } = await guest.exec({ argv: ['env'], input: '', secrets }).result;
    return stdout.toString();
  };
  expect(await variable({ TOKEN: 'token' })).toContain('TOKEN=open sesame\n');
  expect(await variable({})).toContain('TOKEN=of vm\n');
  for (const name of ['none', 'key']) {
    const { details } = await refusal(
      'MICROVM_EXEC_FAILED',
      guest.exec({ argv: ['true'], secrets: { A: name } }).result,
    );
    expect(details.step).toBe('secrets');
  }
}

async function areDeleted(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setSecret(vmId, 'a', '1');
  await runtime.setSecret(vmId, 'b', { text: '2', owner: 'root' });
  await runtime.setSecret(vmId, 'a', 'one');
  expect(await secretsIn(runtime, vmId, ['a', 'b'])).toEqual({ a: 'one', b: '2' });
  expect((await runtime.deleteSecret(vmId, 'a')).secrets).toEqual([present('b')]);
  expect(await secretsIn(runtime, vmId, ['a', 'b'])).toEqual({ b: '2' });
  const before = await viewOf(runtime, vmId);
  expect(await runtime.deleteSecret(vmId, 'a')).toEqual(before);
  const owner = runtime.setSecret(vmId, 'b', { text: '3', owner: 'no-such-user' });
  await refusal('MICROVM_INVALID_ARGUMENT', owner);
  expect(await secretsIn(runtime, vmId, ['b'])).toEqual({ b: '2' });
}

async function waitForResume(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setSecret(vmId, 'old', '1');
  await runtime.pauseVm(vmId);
  await runtime.setSecret(vmId, 'new', '2');
  expect((await runtime.deleteSecret(vmId, 'old')).secrets).toEqual([present('new')]);
  await runtime.resumeVm(vmId);
  expect(await secretsIn(runtime, vmId, ['old', 'new'])).toEqual({ new: '2' });
}

async function areGivenAtCreate(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.fresh();
  const spec = { ...fixture.spec(), secrets: { token: 'open sesame' } };
  const view = await runtime.createVmWithSpec('vm', spec);
  expect(view).toMatchObject({ state: 'created', secrets: [present('token')] });
  expect(view.spec).not.toHaveProperty('secrets');
  await runtime.startVm('vm', { secrets: { more: 'of it' } });
  expect(await secretsIn(runtime, 'vm', ['token', 'more'])).toEqual({ token: 'open sesame', more: 'of it' });
}

async function endWith(fixture: ProviderFixture, state: VmState): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setSecret(vmId, 'a', '1');
  await runtime.setSecret(vmId, 'b', '2');
  if (state === 'stopped') await runtime.stopVm(vmId);
  else await fixture.factory.endGuest(runtime, vmId, 'kill-vmm');
  const ended = await fixture.untilState(runtime, vmId, state);
  expect(ended.secrets).toEqual([missing('a'), missing('b')]);
  await withoutEffect(runtime, async () => {
    const { details } = await refusal(
      'MICROVM_SECRETS_MISSING',
      runtime.startVm(vmId, { secrets: { b: '2' } }),
    );
    expect(details).toEqual({ vmId, names: ['a'] });
  });
  const started = await runtime.startVm(vmId, { secrets: { a: null, b: 'again' } });
  expect(started.secrets).toEqual([present('b')]);
  expect(await secretsIn(runtime, vmId, ['a', 'b'])).toEqual({ b: 'again' });
  await runtime.stopVm(vmId);
  const without = await runtime.startVm(vmId, { secretsOptional: true });
  expect(without).toMatchObject({ state: 'running', secrets: [missing('b')] });
  expect(await secretsIn(runtime, vmId, ['a', 'b'])).toEqual({});
}

async function outliveReboot(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setSecret(vmId, 'token', 'open sesame');
  const events = runtime.events();
  await fixture.factory.endGuest(runtime, vmId, 'reboot');
  for await (const event of events) {
    if (event.type === 'job' && event.job.kind === 'rebootVm' && event.job.endedAt !== undefined) break;
  }
  expect((await viewOf(runtime, vmId)).secrets).toEqual([present('token')]);
  expect(await secretsIn(runtime, vmId, ['token'])).toEqual({ token: 'open sesame' });
}

async function endWithOwner(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running', { secretsOptional: true });
  await (await fixture.open()).setSecret(vmId, 'token', 'open sesame');
  const next = await fixture.reopen();
  const view = await viewOf(next, vmId);
  expect(view.secrets).toEqual([missing('token')]);
  if (view.state !== 'running') await next.startVm(vmId);
  expect(await secretsIn(next, vmId, ['token'])).toEqual({});
  expect((await next.setSecret(vmId, 'token', 'again')).secrets).toEqual([present('token')]);
  expect(await secretsIn(next, vmId, ['token'])).toEqual({ token: 'again' });
}

async function areChecked(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const marker = randomBytes(12).toString('hex');
  const long = marker.repeat(64 * 1024);
  const values: unknown[] = [
    undefined,
    7,
    null,
    long,
    { text: marker, base64: marker },
    { base64: `${marker}*` },
  ];
  const names = ['', '.', '..', '.x', '-x', 'a/b', 'a b', 'x'.repeat(65)];
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`s${index}`, marker]));
  const large = Object.fromEntries(
    Array.from({ length: 9 }, (_, index) => [`s${index}`, long.slice(0, 65_536)]),
  );
  const create = (secrets: unknown) => runtime.createVmWithSpec(fixture.newId(), { secrets } as VmSpec);
  await withoutEffect(runtime, async () => {
    const calls = [
      ...values.map((value) => runtime.setSecret(vmId, 'a', value as SecretValue)),
      ...names.map((name) => runtime.setSecret(vmId, name, marker)),
      ...names.map((name) => runtime.deleteSecret(vmId, name)),
      ...[many, large, { a: { texts: marker } }, { 'a/b': marker }, [marker], marker].map(create),
      runtime.setSecret(vmId, 'a', { text: marker, owner: 'a:b:c' }),
    ];
    for (const call of calls) {
      const error = await refusal('MICROVM_INVALID_ARGUMENT', call);
      expect(`${JSON.stringify(error)} ${inspect(error)}`.includes(marker)).toBe(false);
    }
  });
}

async function needAgent(fixture: ProviderFixture): Promise<void> {
  const runtime = await fixture.open();
  const spec: VmSpec = { agent: 'none', secrets: { a: '1' } };
  await refusal('MICROVM_INVALID_ARGUMENT', runtime.createVmWithSpec(fixture.newId(), spec));
}

async function tellRequests(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  const options = { idempotencyKey: `key of ${vmId}` };
  const first = await runtime.setSecret(vmId, 'a', '1', options);
  expect(await runtime.setSecret(vmId, 'a', '1', options)).toEqual(first);
  await refusal('MICROVM_IDEMPOTENCY_CONFLICT', runtime.setSecret(vmId, 'a', '2', options));
  await refusal('MICROVM_IDEMPOTENCY_CONFLICT', runtime.setSecret(vmId, 'b', '1', options));
  if (!fixture.isDurable) return;
  // Nobody can compare the values any more: the names tell.
  const next = await fixture.reopen();
  expect((await next.setSecret(vmId, 'a', '1', options)).secrets).toEqual([missing('a')]);
  await refusal('MICROVM_IDEMPOTENCY_CONFLICT', next.setSecret(vmId, 'b', '1', options));
}

/** All that a reader of events is told. */
function record(runtime: VmRuntime, signal: AbortSignal): Promise<VmEvent[]> {
  return (async () => {
    const events: VmEvent[] = [];
    for await (const event of runtime.events({ signal })) events.push(event);
    return events;
  })();
}

async function areNowhere(fixture: ProviderFixture): Promise<void> {
  const { runtime, stateDir = '' } = await fixture.freshWithDirectory();
  const marker = `marker-${randomBytes(18).toString('hex')}`;
  const needles = shapesOf(marker);
  const told: unknown[] = [];
  const abort = new AbortController();
  const events = record(runtime, abort.signal);
  const look = async (): Promise<void> => {
    expect(await placesOf(needles, stateDir)).toEqual([]);
  };
  const options = { idempotencyKey: 'create' };
  told.push(await runtime.createVmWithSpec('vm', { ...fixture.spec(), secrets: { a: marker } }, options));
  await look();
  told.push(await runtime.startVm('vm', { secrets: { b: marker }, idempotencyKey: 'start' }));
  told.push(await runtime.setSecret('vm', 'c', { text: marker }, { idempotencyKey: 'set' }));
  await look();
  const guest = await runtime.guest('vm');
  const argv: [string, ...string[]] = ['cat', '/run/secrets/a', '/run/secrets/b', '/run/secrets/c'];
  const { stdout } = await guest.exec({ argv, input: '', secrets: { A: 'a' } }).result;
  expect(stdout.toString()).toBe(marker.repeat(3));
  // Errors of all kinds, of which the first comes from the guest.
  told.push(await rejection(runtime.setSecret('vm', 'd', { text: marker, owner: 'no-such-user' })));
  told.push(await rejection(runtime.setSecret('vm', 'a', 'other', { idempotencyKey: 'set' })));
  told.push(await rejection(runtime.setSecret('other', 'a', marker)));
  told.push(await rejection(guest.exec({ argv: ['/no/such/program'], secrets: { A: 'a' } }).result));
  if (fixture.capabilities.memorySnapshot) told.push(await rejection(runtime.snapshotVm('vm', 'refused')));
  await look();
  await runtime.stopVm('vm');
  told.push(await rejection(runtime.startVm('vm')));
  if (fixture.capabilities.diskSnapshot) told.push(await runtime.snapshotVm('vm', 'disks'));
  await look();
  told.push(await runtime.listVms(), await runtime.listJobs(), runtime.recovery);
  abort.abort();
  told.push(await events);
  const text = `${JSON.stringify(told)} ${inspect(told, { depth: 20, showHidden: true })}`;
  expect(needles.filter((needle) => text.includes(needle.toString()))).toEqual([]);
  expect(text).toContain('MICROVM_SECRETS_MISSING');
}

async function refuseCapture(fixture: ProviderFixture): Promise<void> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setSecret(vmId, 'a', '1');
  await withoutEffect(runtime, async () => {
    const { details } = await refusal('MICROVM_SECRETS_PRESENT', runtime.snapshotVm(vmId, 'taken'));
    expect(details).toEqual({ vmId, names: ['a'] });
  });
  await runtime.snapshotVm(vmId, 'allowed', { allowSecrets: true });
  await runtime.deleteSecret(vmId, 'a');
  await runtime.snapshotVm(vmId, 'without');
}

/** A snapshot that holds the secrets `a` and `b`, of a VM that is gone. */
async function holdingSnapshot(fixture: ProviderFixture): Promise<string> {
  const { vmId } = await fixture.arrange('running');
  const runtime = await fixture.open();
  await runtime.setSecret(vmId, 'a', 'captured');
  await runtime.setSecret(vmId, 'b', 'captured');
  const { snapshotUid } = await runtime.snapshotVm(vmId, 'holding', { allowSecrets: true });
  await runtime.destroyVm(vmId);
  return snapshotUid;
}

async function areNotInherited(fixture: ProviderFixture): Promise<void> {
  const restoreFrom = { snapshotUid: await holdingSnapshot(fixture) };
  const runtime = await fixture.open();
  const view = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom });
  expect(view.secrets).toEqual([]);
  expect(await secretsIn(runtime, view.vmId, ['a', 'b'])).toEqual({});
  await runtime.snapshotVm(view.vmId, 'clean');
  if (!fixture.capabilities.pause) return;
  await runtime.destroyVm(view.vmId);
  // Until it goes on, its memory is the snapshot's.
  const paused = await runtime.createVmWithSpec(fixture.newId(), { restoreFrom, resumeImmediately: false });
  await refusal('MICROVM_SECRETS_PRESENT', runtime.snapshotVm(paused.vmId, 'taken'));
}

async function areInherited(fixture: ProviderFixture): Promise<void> {
  const snapshotUid = await holdingSnapshot(fixture);
  const runtime = await fixture.open();
  const secrets = { b: 'given' };
  const view = await runtime.createVmWithSpec(fixture.newId(), {
    restoreFrom: { snapshotUid },
    inheritSecrets: true,
    secrets,
  });
  expect(view.secrets).toEqual([present('a'), present('b')]);
  expect(view.spec).not.toHaveProperty('inheritSecrets');
  expect(await secretsIn(runtime, view.vmId, ['a', 'b'])).toEqual({ a: 'captured', b: 'given' });
  await runtime.setSecret(view.vmId, 'c', '3');
  expect(await secretsIn(runtime, view.vmId, ['a', 'c'])).toEqual({ a: 'captured', c: '3' });
  const call = runtime.createVmWithSpec(fixture.newId(), { inheritSecrets: true });
  await refusal('MICROVM_INVALID_ARGUMENT', call);
}

async function areGivenToRestored(fixture: ProviderFixture): Promise<void> {
  const { snapshotUid } = (await fixture.golden()).snapshot;
  const runtime = await fixture.open();
  const secrets = { token: 'open sesame' };
  const spec: VmSpec = { restoreFrom: { snapshotUid }, secrets };
  const view = await runtime.createVmWithSpec(fixture.newId(), spec);
  expect(view.secrets).toEqual([present('token')]);
  expect(await secretsIn(runtime, view.vmId, ['token'])).toEqual(secrets);
}
