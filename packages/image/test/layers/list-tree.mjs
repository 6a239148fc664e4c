#!/usr/bin/env node
// list-tree.mjs FOLDER: what a tree is, as JSON: for each name its owner, mode, type, links, time, extended
// attributes and content. As root. For comparing a root file system with another program's.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const TYPES = [
  ['file', (status) => status.isFile()],
  ['folder', (status) => status.isDirectory()],
  ['symlink', (status) => status.isSymbolicLink()],
  ['character device', (status) => status.isCharacterDevice()],
  ['block device', (status) => status.isBlockDevice()],
  ['fifo', (status) => status.isFIFO()],
  ['socket', () => true],
];

/** Of getfattr's output: `\ooo` in names is a byte. */
function unescape(text) {
  return text.replace(/\\([0-7]{3})/g, (_, digits) => String.fromCharCode(parseInt(digits, 8)));
}

/** By path: `name=0xvalue` of each extended attribute, sorted. */
function xattrsOf(root) {
  const args = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'];
  const done = spawnSync('getfattr', args, { cwd: root, encoding: 'latin1', maxBuffer: 1 << 28 });
  if (done.error !== undefined) throw done.error;
  // A squashfs without any attribute says that it cannot have them.
  const faults = done.stderr.split('\n').filter((line) => line !== '' && !line.endsWith('not supported'));
  if (faults.length > 0) throw new Error(faults.join('\n'));
  const output = done.stdout;
  const xattrs = new Map();
  for (const block of output.split('\n\n')) {
    const [head, ...lines] = block.split('\n').filter(Boolean);
    if (head === undefined) continue;
    const name = unescape(head.slice('# file: '.length));
    xattrs.set(name === '.' ? '' : name.replace(/^\.\//, ''), lines.sort());
  }
  return xattrs;
}

/**
 * Every name below the folder, as latin1: a byte is a character. The root itself is the empty name.
 *
 * @returns {Record<string, object>}
 */
export function listTree(root) {
  const xattrs = xattrsOf(root);
  const firstNames = new Map();
  const listed = {};
  const visit = (name) => {
    const path = Buffer.from(`${root}/${name}`, 'latin1');
    const status = lstatSync(path);
    const type = TYPES.find(([, is]) => is(status))[0];
    const entry = { type, mode: (status.mode & 0o7777).toString(8), uid: status.uid, gid: status.gid };
    entry.mtime = Math.floor(status.mtimeMs / 1000);
    if (xattrs.has(name)) entry.xattrs = xattrs.get(name);
    if (type !== 'folder' && status.nlink > 1) {
      const inode = `${status.dev}:${status.ino}`;
      if (!firstNames.has(inode)) firstNames.set(inode, name);
      entry.sameAs = firstNames.get(inode);
    }
    if (type === 'symlink') entry.link = readlinkSync(path, 'latin1');
    if (type.endsWith('device')) entry.device = status.rdev;
    if (type === 'file') entry.size = status.size;
    if (type === 'file') entry.sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    listed[name] = entry;
    if (type !== 'folder') return;
    for (const inner of readdirSync(path, 'latin1').sort()) visit(name === '' ? inner : `${name}/${inner}`);
  };
  visit('');
  return listed;
}

/** What differs between two lists, for people; empty when nothing does. */
export function differences(actual, expected, { leaveOut = [] } = {}) {
  const names = [...new Set([...Object.keys(actual), ...Object.keys(expected)])].sort();
  return names
    .filter((name) => !leaveOut.includes(name))
    .map((name) => [name, JSON.stringify(actual[name]), JSON.stringify(expected[name])])
    .filter(([, is, should]) => is !== should)
    .map(([name, is, should]) => `${name}: ${is}, expected ${should}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(JSON.stringify(listTree(process.argv[2])));
