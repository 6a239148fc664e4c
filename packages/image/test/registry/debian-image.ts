import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../../src/host/program.js';
import { tarOf } from './tar-writer.js';

// Enough for a shell, with setuid programs, hard links and links of folders. Extracted and not configured,
// which would take most of a minute.
const PACKAGES =
  'base-files,base-passwd,bash,coreutils,dash,libacl1,libattr1,libc6,libc-bin,libgmp10,libselinux1,libpcre2-8-0,libtinfo6,libssl3,passwd,mount,perl-base';

/** cap_setuid+ep, whose mask has a byte that is no ASCII. */
export const CAPABILITY = Buffer.from('0100000280000000000000000000000000000000', 'hex');

/** What layers may have and programs like to lose. */
export const SECOND_LAYER = tarOf([
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/.wh.issue', data: '' },
  { name: 'usr/share/doc/', type: '5', mode: 0o750, gid: 7 },
  { name: 'usr/share/doc/.wh..wh..opq' },
  { name: 'usr/share/doc/only', data: 'only this is left' },
  // A link into the layer below, whose target then goes.
  { name: 'srv/', type: '5', mode: 0o1777 },
  { name: 'srv/bash', type: '1', target: 'bin/bash' },
  { name: 'srv/issue', type: '1', target: 'etc/issue.net' },
  { name: 'etc/.wh.issue.net' },
  { name: 'srv/setuid', data: 'x', mode: 0o4755, uid: 1234, gid: 5678 },
  { name: 'srv/capable', data: 'x', mode: 0o755, xattrs: { 'security.capability': CAPABILITY } },
  { name: 'srv/attribute', data: 'x', xattrs: { 'user.note': Buffer.from('ff00fe', 'hex') } },
  { name: 'srv/null', type: '3', device: [1, 3], mode: 0o666 },
  { name: 'srv/disk', type: '4', device: [259, 70_000], mode: 0o660, gid: 6 },
  { name: 'srv/fifo', type: '6', mode: 0o622 },
  { name: 'srv/link', type: '2', target: '../etc/passwd', mode: 0o777 },
  { name: `srv/${'long-'.repeat(48)}name`, data: 'long' },
  { name: 'srv/not-utf8-\xff\xfe', data: 'bytes' },
]);

/** Makes an OCI layout with Debian's files in one layer and `SECOND_LAYER` above them, by umoci. */
export async function makeDebianLayout(folder: string): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8');
  const suite = /^VERSION_CODENAME=(.*)$/m.exec(release)?.[1] ?? 'bookworm';
  const base = join(folder, 'base.tar');
  // The sources, keys and proxies are those of this host.
  await runProgram('mmdebstrap', ['--quiet', '--variant=extract', `--include=${PACKAGES}`, suite, base]);
  const second = join(folder, 'second.tar');
  await writeFile(second, SECOND_LAYER);
  const layout = join(folder, 'layout');
  const image = `${layout}:app`;
  await runProgram('umoci', ['init', '--layout', layout]);
  await runProgram('umoci', ['new', '--image', image]);
  for (const layer of [base, second])
    await runProgram('umoci', ['raw', 'add-layer', '--image', image, layer]);
  const config = [
    '--config.env',
    'PATH=/usr/bin:/bin',
    '--config.workingdir',
    '/srv',
    '--config.cmd',
    '/bin/bash',
  ];
  await runProgram('umoci', ['config', '--image', image, ...config, '--config.user', '1234:5678']);
  return layout;
}
