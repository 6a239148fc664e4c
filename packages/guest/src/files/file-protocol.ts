/** The numbers of docs/guest-protocol.md, “Files”. */

export const MAX_FILE_MESSAGE = 131_072;
export const MAX_FILE_PATH_BYTES = 4_095;
export const MAX_FILE_DATA = 65_536;
export const FILE_MESSAGE_HEAD = 5;
/** In the place of a position: where the file stands. */
export const NO_POSITION = 0xffff_ffff_ffff_ffffn;

export const FileOp = {
  stat: 0x01,
  readdir: 0x02,
  mkdir: 0x03,
  rm: 0x04,
  rename: 0x05,
  copyFile: 0x06,
  chmod: 0x07,
  chown: 0x08,
  utimes: 0x09,
  symlink: 0x0a,
  link: 0x0b,
  readlink: 0x0c,
  realpath: 0x0d,
  truncate: 0x0e,
  access: 0x0f,
  mkdtemp: 0x10,
  unlink: 0x11,
  rmdir: 0x12,
  readFile: 0x20,
  writeFile: 0x21,
  open: 0x22,
  read: 0x23,
  write: 0x24,
  sync: 0x25,
  close: 0x26,
  data: 0x30,
  commit: 0x31,
  receiveTree: 0x40,
  sendTree: 0x41,
  watch: 0x60,
} as const;
export type FileOp = (typeof FileOp)[keyof typeof FileOp];

export const FileAnswer = { done: 0x80, failed: 0x81, data: 0x82, entries: 0x83, event: 0x84 } as const;
export type FileAnswer = (typeof FileAnswer)[keyof typeof FileAnswer];

/** Which file a request is about. */
export const FileTarget = { path: 0, link: 1, openFile: 2 } as const;
export type FileTarget = (typeof FileTarget)[keyof typeof FileTarget];

/** Messages of a tree, in both directions. */
export const TreeMessage = { entry: 0x50, content: 0x51, up: 0x52, end: 0x53 } as const;
export const TREE_OWNERS = 1;
export const TREE_DEVICES = 2;
export const TREE_HARD_LINKS = 4;

export const WRITE_ATOMIC = 1;
export const WRITE_FLUSH = 2;
export const RM_RECURSIVE = 1;
export const RM_FORCE = 2;
