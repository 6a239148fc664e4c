import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { MANIFEST_FORMAT } from '../src/engine/manifest.js';
import { readManifest } from '../src/engine/read-manifest.js';
import { readRecord, RECORD_FORMAT } from '../src/engine/record.js';

// Each format that was ever written has a sample here, as a runtime of that time wrote it.
type Json = Record<string, unknown>;

const IMAGE = {
  digest: `sha256:${'0'.repeat(64)}`,
  config: { env: { A: '1' }, workingDir: '/srv', user: 'app', entrypoint: [], cmd: ['sh'] },
};

async function sample(name: string): Promise<Json> {
  const path = new URL(`samples/${name}.json`, import.meta.url);
  return JSON.parse(await readFile(path, 'utf8')) as Json;
}

describe('a manifest', () => {
  test('of format 1 is read, without what belonged to the host that it was taken on', async () => {
    const written = await sample('manifest-1');
    const { manifest, problem } = readManifest(written, String(written['snapshotUid']));
    expect(problem).toBeUndefined();
    expect(manifest).toMatchObject({
      format: MANIFEST_FORMAT,
      snapshotId: 'warm',
      pinned: written['pinned'],
    });
    expect(manifest?.spec).toEqual({
      vcpuCount: 1,
      memSizeMib: 128,
      console: true,
      agent: 'required',
      onGuestReboot: 'restart',
      shutdownTimeoutMs: 10000,
      rootDrive: {},
      drives: [{ driveId: 'data', mode: 'shared' }],
      labels: { team: 'a' },
    });
  });

  test('of format 2 is read: its guest has no environment', async () => {
    const written = await sample('manifest-2');
    const { manifest, problem } = readManifest(written, String(written['snapshotUid']));
    expect(problem).toBeUndefined();
    expect(manifest).toEqual({ ...written, format: MANIFEST_FORMAT });
    expect(manifest?.spec.env).toBeUndefined();
  });

  test('of format 3 is read: its guest has no image', async () => {
    const written = await sample('manifest-3');
    const { manifest, problem } = readManifest(written, String(written['snapshotUid']));
    expect(problem).toBeUndefined();
    expect(manifest).toEqual({ ...written, format: MANIFEST_FORMAT });
    expect(manifest?.image).toBeUndefined();
  });

  test.each([
    ['is named and not described', { spec: { image: 'app' } }],
    ['is described and not named', { image: IMAGE }],
    ['has a digest of another form', { spec: { image: 'app' }, image: { ...IMAGE, digest: 'app' } }],
    ['stands beside a root drive', { spec: { image: 'app', rootDrive: {} }, image: IMAGE }],
  ])('whose image %s is refused', async (_what, { spec, ...fields }: Json) => {
    const written = await sample('manifest-3');
    const own = written['spec'] as Json;
    const { rootDrive: _root, ...others } = own;
    const changed = {
      ...written,
      format: MANIFEST_FORMAT,
      ...fields,
      spec: { ...others, ...(spec as Json | undefined) },
    };
    expect(readManifest(changed, String(written['snapshotUid'])).problem).toEqual(expect.any(String));
  });

  test.each([
    ['in the folder of another snapshot', 'f'.repeat(32), {}],
    ['with drives by one id', undefined, { drives: [{ driveId: 'a' }, { driveId: 'a' }] }],
  ])('%s is refused', async (_what, folder, spec) => {
    const written = await sample('manifest-1');
    const { manifest } = readManifest(written, String(written['snapshotUid']));
    const changed = { ...manifest, spec: { ...manifest?.spec, ...spec } };
    const { problem } = readManifest(changed, folder ?? String(written['snapshotUid']));
    expect(problem).toEqual(expect.any(String));
  });
});

describe('a record', () => {
  test('of format 1 is read: nothing is pinned, its VM goes on with the files that were named', async () => {
    const written = await sample('vm-1');
    const { record, problem } = readRecord(written, String(written['instanceId']));
    expect(problem).toBeUndefined();
    expect(record).toEqual({ ...written, format: RECORD_FORMAT, pinned: {} });
  });

  test('of format 2 is read: its VM has no environment', async () => {
    const written = await sample('vm-2');
    const { record, problem } = readRecord(written, String(written['instanceId']));
    expect(problem).toBeUndefined();
    expect(record).toEqual({ ...written, format: RECORD_FORMAT });
    expect(record?.spec.env).toBeUndefined();
  });

  test('of format 3 is read: its VM has no image', async () => {
    const written = await sample('vm-3');
    const { record, problem } = readRecord(written, String(written['instanceId']));
    expect(problem).toBeUndefined();
    expect(record).toEqual({ ...written, format: RECORD_FORMAT });
    expect(record?.image).toBeUndefined();
  });

  test.each<[string, Json]>([
    ['an image that its spec does not name', { image: IMAGE }],
    ['an image that its spec names alone', { spec: { image: 'app' } }],
    ['an unknown field', { uid: 0 }],
    ['an unknown field of the spec', { spec: { kernelPaht: '/k' } }],
    ['a vmId of another form', { vmId: '../x' }],
    ['a process without a number', { vmm: { pid: '1', startTime: '1', bootId: 'b' } }],
    ['jobs that are none', { jobs: [null] }],
    ['a pinned file by no name', { pinned: { '../x': { sizeBytes: 1, digest: '0'.repeat(64) } } }],
    ['a state that there is not', { state: 'gone' }],
    [
      'a text longer than any',
      { ending: { reason: 'panic', exitCode: 0, signal: null, lastLogLines: ['x'.repeat(2 ** 24)] } },
    ],
  ])('with %s is refused', async (_what, fields) => {
    const written = { ...(await sample('vm-1')), format: RECORD_FORMAT, pinned: {} };
    const { problem } = readRecord({ ...written, ...fields }, String(written['instanceId' as keyof object]));
    expect(problem?.length).toBeLessThan(300);
  });
});
