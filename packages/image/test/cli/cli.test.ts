import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import { runCommand } from '../../src/cli/command.js';
import { VERBS } from '../../src/cli/verbs.js';
import { ImagesFixture } from '../images/fixture.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

let fixture: ImagesFixture;
let abort: AbortController;

beforeEach(async () => {
  fixture = await ImagesFixture.create();
  abort = new AbortController();
});

async function run(...args: readonly string[]): Promise<Ran> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const store = args[0] === '--help' || args.length === 0 ? [] : ['--store', fixture.store];
  const { signal } = abort;
  const exitCode = await runCommand([...args, ...store], { stdout, stderr, signal });
  const written = [stdout, stderr].map((stream) => stream.read() as Buffer | null);
  return { exitCode, stdout: written[0]?.toString() ?? '', stderr: written[1]?.toString() ?? '' };
}

test('the program itself ends with the exit code of its verb', async () => {
  const node = ['--conditions=@microvm/source', '--import', 'tsx', MAIN, 'inspect', 'app'];
  const env = { ...process.env, MICROVM_IMAGE_STORE: fixture.store };
  const child = spawn(process.execPath, node, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  const text = child.stderr.toArray();
  expect(await once(child, 'exit')).toEqual([1, null]);
  expect(Buffer.concat((await text) as Buffer[]).toString()).toMatch(/^microvm-image: no image "app"/);
});

test('an interrupted verb is exit code 130', async () => {
  const { source } = await fixture.layout([{ a: '1' }]);
  abort.abort(new Error('interrupted by SIGINT'));
  expect(await run('import', source, 'app')).toMatchObject({
    exitCode: 130,
    stderr: 'microvm-image: interrupted by SIGINT\n',
  });
});

test("what a stranger wrote into an image moves nobody's terminal", async () => {
  const { source } = await fixture.layout([{ a: '1' }], { config: { User: 'a\u009b31m\u202e' } });
  await run('import', source, 'app');
  expect((await run('inspect', 'app')).stdout).toContain('"user": "a\\x9b31m\\u{202e}"');
  expect((await run('import', `${source}:\u001b[31m`, 'app')).stderr).toContain('\\x1b[31m');
});

test('a verb is none that every object has', async () => {
  expect(await run('constructor')).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/no verb "constructor"/) as string,
  });
});

test('an image is imported, listed, inspected, tagged, verified, released and collected', async () => {
  const { source, digest } = await fixture.layout([{ 'etc/a': 'a' }], { config: { Cmd: ['/bin/sh'] } });
  expect(await run('import', source, 'app')).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(new RegExp(`^imported app:latest: ${digest}, \\d+ kB\\n$`)) as string,
    stderr: expect.stringMatching(/image: layers, .*\nimage: root file system, /) as string,
  });
  expect((await run('tag', 'app', 'app:2')).stdout).toBe('tagged app:2\n');
  expect((await run('ls')).stdout.split('\n')).toEqual([
    expect.stringMatching(/^NAME +DIGEST +SIZE$/),
    expect.stringMatching(/^app:2 +sha256:[0-9a-f]{12} +\d+ kB$/),
    expect.stringMatching(/^app:latest +sha256:[0-9a-f]{12} +\d+ kB$/),
    '',
  ]);
  expect(JSON.parse((await run('inspect', 'app', '--json')).stdout)).toMatchObject({
    digest,
    config: { cmd: ['/bin/sh'] },
  });
  expect(await run('verify')).toMatchObject({ exitCode: 0, stdout: 'nothing is damaged\n' });
  expect((await run('rm', 'app')).stdout).toBe('released app:latest; still needed by app:2\n');
  expect((await run('gc', '--dry-run', '--json')).stdout).toMatch(/"removed": \[\]/);
  await run('rm', 'app:2');
  expect((await run('gc')).stdout).toMatch(/^removed template .*\n(removed blob .*\n){3}removed \d+ kB\n$/);
  expect(await run('inspect', 'app')).toMatchObject({
    exitCode: 1,
    stderr: expect.stringMatching(/no image "app"; there are none\nwhat to do: fetch it/) as string,
  });
});

test('a folder becomes an image with the config of the options', async () => {
  const folder = join(fixture.root, 'app');
  await mkdir(folder);
  await writeFile(join(folder, 'run.sh'), '#!/bin/sh\n');
  const options = [
    '--env',
    'A=1',
    '--env',
    'B=2',
    '--workdir',
    '/srv',
    '--user',
    '1000',
    '--entrypoint',
    '/run.sh',
  ];
  const built = await run('build-from-dir', folder, 'app', ...options, '--cmd', 'x', '--json', '--quiet');
  expect(built.stderr).toBe('');
  expect(JSON.parse(built.stdout)).toMatchObject({
    names: ['app:latest'],
    config: {
      env: { A: '1', B: '2' },
      workingDir: '/srv',
      user: '1000',
      entrypoint: ['/run.sh'],
      cmd: ['x'],
    },
  });
});

test('damage is exit code 1', async () => {
  const { source } = await fixture.layout([{ a: '1' }]);
  const { layers } = await fixture.images.import(source, 'app');
  const path = join(fixture.store, 'blobs', 'sha256', layers[0]?.digest.slice(7) ?? '');
  await writeFile(path, 'x');
  expect(await run('verify', 'app')).toMatchObject({
    exitCode: 1,
    stdout: expect.stringMatching(/it has 1 bytes, expected/) as string,
  });
});

test('paths of options may be relative to the folder of the call', async () => {
  const { source } = await fixture.layout([{ a: '1' }]);
  await fixture.images.import(source, 'app');
  const stdout = new PassThrough();
  const store = relative(process.cwd(), fixture.store);
  const around = { stdout, stderr: new PassThrough(), signal: abort.signal };
  expect(await runCommand(['ls', '--store', store], around)).toBe(0);
  expect(String(stdout.read())).toContain('app:latest');
});

describe('a wrong call is exit code 2', () => {
  test.each([
    [[], /which verb\?/],
    [['fetch'], /no verb "fetch"/],
    [['import', 'x'], /usage: microvm-image import SOURCE NAME/],
    [['ls', '--nope'], /--nope/],
    [['import', '/etc', 'Not A Name'], /expected a name of an image/],
    [['gc', '--keep-bytes', 'much'], /--keep-bytes: expected a number of bytes/],
  ])('%j', async (args, message) => {
    expect(await run(...args)).toMatchObject({
      exitCode: 2,
      stdout: '',
      stderr: expect.stringMatching(message) as string,
    });
  });
});

test('help tells of each verb, and of each option of it', async () => {
  const { stdout } = await run('--help');
  for (const [name, { about }] of Object.entries(VERBS))
    expect(stdout).toContain(`${name.padEnd(14)}  ${about}`);
  const help = (await run('gc', '--help')).stdout;
  for (const option of ['--dry-run', '--keep-bytes BYTES', '--store FOLDER', '--json', '--quiet']) {
    expect(help).toContain(option);
  }
});
