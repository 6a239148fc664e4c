/** What is told of one name. */
export interface ListedEntry {
  readonly type: string;
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Seconds. */
  readonly mtime: number;
  readonly xattrs?: readonly string[];
  /** The first name of a file that has several. */
  readonly sameAs?: string;
  readonly link?: string;
  readonly device?: number;
  readonly size?: number;
  readonly sha256?: string;
}

export type ListedTree = Readonly<Record<string, ListedEntry>>;

export function listTree(root: string): ListedTree;

export function differences(
  actual: ListedTree,
  expected: ListedTree,
  options?: { readonly leaveOut?: readonly string[] },
): string[];
