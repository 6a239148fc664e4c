import { FileSystem, join } from './file-system.js';
import type { FileTree } from './file-tree.js';
import type { Inode } from './inode.js';

interface Facts {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  /** Default: `mtimeMs`. */
  readonly atimeMs?: number;
}

/** What an entry of a disk is, as JSON. */
export type DiskNode =
  /** Each character of `data` is a byte. */
  | (Facts & { readonly kind: 'file'; readonly data: string })
  | (Facts & { readonly kind: 'directory' })
  | (Facts & { readonly kind: 'symlink'; readonly target: string })
  /** Another name of the file at `path`. */
  | { readonly kind: 'link'; readonly path: string }
  /** Something that every guest's root disk has, and that was removed from this disk. */
  | { readonly kind: 'removed' };

/**
 * The entries of a disk by their absolute path in the guest. A string is a plain file of root. Of what every
 * guest's root disk has, only what differs is listed.
 */
export type DiskContent = Readonly<Record<string, string | DiskNode>>;

/** Fills a tree. Folders that a path needs and that are not listed are made. */
export function fillTree(tree: FileTree, content: DiskContent): void {
  const files = new FileSystem(tree);
  const entries = Object.entries(content).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [path, node] of entries) put(files, path, node);
  for (const [path, node] of entries) {
    if (typeof node !== 'string' && node.kind === 'link') files.link(node.path, path);
  }
  // Last, because each entry that is made changes the time of its folder.
  for (const [path, node] of entries) {
    if (typeof node === 'string' || node.kind === 'link' || node.kind === 'removed') continue;
    const { mode, uid, gid, mtimeMs, atimeMs = mtimeMs } = node;
    tree.setFacts(files.lstat(path), { mode, uid, gid, mtimeMs, atimeMs });
  }
}

function put(files: FileSystem, path: string, node: string | DiskNode): void {
  if (typeof node !== 'string' && node.kind === 'link') return;
  const isFolder = typeof node !== 'string' && node.kind === 'directory';
  const found = files.find(path);
  if (isFolder && found?.kind === 'directory') return;
  if (typeof node !== 'string' && node.kind === 'removed') {
    if (found !== undefined) files.removeAll(path);
    return;
  }
  const folder = path.slice(0, path.lastIndexOf('/'));
  if (folder !== '') files.mkdirAll(folder);
  if (files.locate(path, false).inode !== undefined) files.removeAll(path);
  if (typeof node === 'string') files.writeFile(path, Buffer.from(node, 'latin1'));
  else if (node.kind === 'file') files.writeFile(path, Buffer.from(node.data, 'latin1'));
  else if (node.kind === 'symlink') files.symlink(node.target, path);
  else files.mkdir(path);
}

/** What a tree holds; `basePaths` are those that it held before it was filled. */
export function contentOf(tree: FileTree, basePaths: readonly string[]): DiskContent {
  const nodes: [path: string, node: DiskNode][] = [];
  const firstPaths = new Map<Inode, string>();
  const visit = (path: string, inode: Inode): void => {
    const first = firstPaths.get(inode);
    if (first !== undefined) nodes.push([path, { kind: 'link', path: first }]);
    else if (!inode.isBase) nodes.push([path, nodeOf(inode)]);
    if (inode.links > 1 && inode.kind === 'file') firstPaths.set(inode, path);
    for (const [name, entry] of inode.entries) {
      const own = entry.isMount ? entry.covered : entry;
      if (own !== undefined) visit(join(path, name), own);
    }
  };
  visit('/', tree.root);
  const files = new FileSystem(tree);
  for (const path of basePaths) {
    const folder = path.slice(0, path.lastIndexOf('/')) || '/';
    const isGone = files.find(folder) !== undefined && files.locate(path, false).inode === undefined;
    if (isGone) nodes.push([path, { kind: 'removed' }]);
  }
  return Object.fromEntries(nodes);
}

function nodeOf(inode: Inode): DiskNode {
  const { kind, mode, uid, gid, mtimeMs, atimeMs } = inode;
  const facts = { mode, uid, gid, mtimeMs, ...(atimeMs === mtimeMs ? {} : { atimeMs }) };
  if (kind === 'file') return { kind, ...facts, data: inode.text };
  return kind === 'symlink' ? { kind, ...facts, target: inode.target } : { kind, ...facts };
}
