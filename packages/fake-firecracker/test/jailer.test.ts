import { spawnSync } from 'node:child_process';
import {
  chmod,
  chown,
  copyFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { processIdentity, watchProcess } from '@microvm/native';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fakeFirecrackerPath, fakeJailerPath } from '../src/index.js';
import { realFirecracker, realJailer } from './drift/real-binaries.js';
import { formatConversations, parseConversations } from './drift/script.js';
import { boot, capture, clientOf, newFolder, outputOf, pause, resume, stageFiles } from './fixture.js';
import { VmmProcess } from './vmm-process.js';

const UID = 54_321;
// What is not refused would serve for ever.
const GIVE_UP_MS = 120_000;
const RECORD = new URL('./recorded/jailer.txt', import.meta.url);
const isRecording = process.env['MICROVM_RECORD'] === '1';
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn('SKIPPED: the tests of the jailer: only root can make jails');

/**
 * `$ arguments` are tried, `! …` prepares the jail's root before; `< …` is what was said and the exit code.
 */
async function tryOut(jailer: string, exec: string, lines: readonly string[]): Promise<string[]> {
  const heard: string[] = [];
  const base = await newFolder();
  const root = join(base, 'firecracker', 'a', 'root');
  for (const line of lines.filter((each) => !each.startsWith('<'))) {
    heard.push(line);
    if (line.startsWith('! ')) await prepare(root, line.slice(2).split(' '));
    else {
      heard.push(...run(jailer, exec, base, line));
      await rm(join(base, 'firecracker'), { recursive: true, force: true });
    }
  }
  return heard;
}

async function prepare(root: string, [verb = '', path = '']: readonly string[]): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  if (verb === 'mkdir') await mkdir(join(root, path), { recursive: true });
  if (verb === 'touch') await writeFile(join(root, path), '');
}

function run(jailer: string, exec: string, base: string, line: string): string[] {
  const known = `--id a --exec-file ${exec} --uid ${UID} --gid ${UID} --chroot-base-dir ${base}`;
  const args = line.slice(2).replace('ALL', known).replaceAll('EXEC', exec).replaceAll('BASE', base);
  const { stdout, stderr, status } = spawnSync(jailer, args.split(' ').filter(Boolean).map(unquote), {
    encoding: 'utf8',
    timeout: GIVE_UP_MS,
    killSignal: 'SIGKILL',
  });
  const said = stdout + stderr;
  const first = said
    .split('\n')
    .slice(0, 2)
    .map((text) => text.replaceAll(base, 'BASE').replaceAll(exec, 'EXEC'));
  return [...first.map((text) => `< ${withoutTime(text)}`), `< exit ${status ?? 'none'}`];
}

const unquote = (word: string): string => (word === "''" ? '' : word);
const withoutTime = (text: string): string => text.replace(/^\d{4}-\S+ /, '');

describe.skipIf(!isRoot)('the jailer', async () => {
  const conversations = parseConversations(await readFile(RECORD, 'utf8'));
  test.skipIf(isRecording).each(conversations)(
    'the double refuses as recorded: $title',
    async ({ lines }) => {
      expect(await tryOut(fakeJailerPath(), fakeFirecrackerPath(), lines)).toEqual(lines);
    },
  );
  test.skipIf(isRecording || realJailer === undefined || realFirecracker === undefined).each(conversations)(
    'the real one refuses as recorded: $title',
    async ({ lines }) => {
      expect(await tryOut(realJailer ?? '', realFirecracker ?? '', lines)).toEqual(lines);
    },
  );
  test.runIf(isRecording)('recording', async () => {
    const recorded = [];
    for (const { title, lines } of conversations) {
      recorded.push({ title, lines: await tryOut(realJailer ?? '', realFirecracker ?? '', lines) });
    }
    await writeFile(RECORD, formatConversations(recorded));
  });
});

interface Programs {
  readonly jailer: string;
  readonly firecracker: string;
}

async function jail({ jailer, firecracker }: Programs, ...options: readonly string[]): Promise<VmmProcess> {
  const base = await newFolder();
  const root = join(base, 'firecracker', 'jailed', 'root');
  await mkdir(root, { recursive: true });
  await stageFiles(root);
  await chown(join(root, 'disk'), UID, UID);
  for (const name of ['kernel', 'initrd']) await chmod(join(root, name), 0o444);
  const ids = ['--uid', `${UID}`, '--gid', `${UID}`];
  const command = [
    jailer,
    '--id',
    'jailed',
    '--exec-file',
    firecracker,
    ...ids,
    '--chroot-base-dir',
    base,
    ...options,
  ];
  const vmm = new VmmProcess(root, [...command, '--', '--api-sock', 'api.sock'], { SECRET: 'of the caller' });
  onTestFinished(async () => {
    await killDaemon(join(root, 'firecracker.pid'));
    await vmm.kill();
  });
  return vmm.ready();
}

/** Kills the VMM whose pid file this is, if there is one, and waits for its end. */
async function killDaemon(pidFile: string): Promise<void> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'));
  const identity = pid > 0 ? processIdentity(pid) : undefined;
  if (identity === undefined) return;
  const daemon = watchProcess(identity).ref();
  daemon.kill('SIGKILL');
  await daemon.exited;
}

const FAKE: Programs = { jailer: '', firecracker: '' };
const programs = (): Programs => ({ ...FAKE, jailer: fakeJailerPath(), firecracker: fakeFirecrackerPath() });

/** What of a jail can be compared between the double's and the real one's. */
async function describeJail(vmm: VmmProcess): Promise<unknown> {
  const pid = Number(await readFile(join(vmm.directory, 'firecracker.pid'), 'utf8'));
  const proc = `/proc/${pid}`;
  const status = await readFile(`${proc}/status`, 'utf8');
  const limits = await readFile(`${proc}/limits`, 'utf8');
  const entries = (await readdir(vmm.directory, { recursive: true })).toSorted();
  const nodes = await Promise.all(
    entries.map(async (name) => {
      const { mode, uid, rdev } = await stat(join(vmm.directory, name));
      return [name, mode.toString(8), uid, rdev];
    }),
  );
  const differs = async (kind: string): Promise<boolean> =>
    (await readlink(`${proc}/ns/${kind}`)) !== (await readlink(`/proc/self/ns/${kind}`));
  const words = (await readFile(`${proc}/cmdline`, 'utf8')).split('\0');
  return {
    nodes,
    ids: /^Uid:.*$/m.exec(status)?.[0],
    capabilities: /^CapEff:.*$/m.exec(status)?.[0],
    files: /^Max open files.*$/m.exec(limits)?.[0],
    size: /^Max file size.*$/m.exec(limits)?.[0],
    namespaces: await Promise.all(['mnt', 'pid', 'net', 'user'].map(differs)),
    words: words.filter((word) => !/^\d+$/.test(word)),
    secret: (await readFile(`${proc}/environ`, 'utf8')).includes('SECRET'),
    isChild: vmm.child.exitCode === null && vmm.child.pid === pid,
  };
}

const JAILS: readonly { readonly options: readonly string[] }[] = [
  { options: [] },
  { options: ['--new-pid-ns'] },
  { options: ['--daemonize'] },
  { options: ['--resource-limit', 'no-file=4096', '--resource-limit', 'fsize=1073741824'] },
];

describe.skipIf(!isRoot)('a jail of the double', () => {
  test.each(JAILS)('is like one of the real jailer: $options', async ({ options }) => {
    const fake = await jail(programs(), ...options);
    const seen = await describeJail(fake);
    expect(seen).toMatchObject({ secret: false, capabilities: 'CapEff:\t0000000000000000' });
    if (realJailer === undefined || realFirecracker === undefined) return;
    const real = await jail({ jailer: realJailer, firecracker: realFirecracker }, ...options);
    expect(seen).toEqual(await describeJail(real));
  });

  test.each(JAILS)('has a guest that runs and is snapshotted: $options', async ({ options }) => {
    const vmm = await jail(programs(), ...options);
    await boot(vmm);
    const client = await clientOf(vmm);
    expect(await outputOf(client, 'id -u')).toBe('0');
    await pause(vmm);
    await capture(vmm);
    await resume(vmm);
    expect((await (await clientOf(vmm)).ping()).epoch).toBe(1);
    expect((await stat(join(vmm.directory, 'memory'))).uid).toBe(UID);
  });

  test('follows the rules beside the program', async () => {
    const folder = await newFolder();
    await copyFile(fakeFirecrackerPath(), join(folder, 'firecracker'));
    await writeFile(
      join(folder, 'firecracker.faults.json'),
      '[{"on":"GET /version","do":"answer","message":"no"}]',
    );
    const vmm = await jail({ jailer: fakeJailerPath(), firecracker: join(folder, 'firecracker') });
    expect((await vmm.ask('GET', '/version')).body).toBe('{"fault_message":"no"}');
  });
});
