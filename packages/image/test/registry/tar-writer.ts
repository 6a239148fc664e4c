const BLOCK = 512;

/** An entry of a layer. Names are bytes: give them in Latin-1. */
export interface Entry {
  readonly name: string;
  /** `0` file, `1` hard link, `2` symbolic link, `3` and `4` devices, `5` folder, `6` FIFO. */
  readonly type?: string;
  readonly data?: string;
  readonly target?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly device?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, Buffer>>;
}

/** Writes what `tar` would not: links without their targets, any byte in a name, any extended attribute. */
export function tarOf(entries: readonly Entry[]): Buffer {
  return Buffer.concat([...entries.flatMap(entryBlocks), Buffer.alloc(2 * BLOCK)]);
}

function entryBlocks(entry: Entry): Buffer[] {
  const records = Object.entries(entry.xattrs ?? {}).map(([name, value]) =>
    paxRecord(`SCHILY.xattr.${name}`, value),
  );
  if (entry.name.length > 100) records.push(paxRecord('path', Buffer.from(entry.name, 'latin1')));
  const pax = Buffer.concat(records);
  const extension = records.length === 0 ? [] : [header({ name: 'pax', type: 'x' }, pax.length), padded(pax)];
  const data = Buffer.from(entry.data ?? '', 'latin1');
  return [...extension, header(entry, data.length), padded(data)];
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK)]);
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function header(entry: Entry, size: number): Buffer {
  const { name, type = '0', target = '', mode = 0o644, uid = 0, gid = 0, device = [0, 0] } = entry;
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void => {
    block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  };
  block.write(name.slice(0, 100), 0, 'latin1');
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(1_500_000_000, 136, 12);
  block.write(' '.repeat(8), 148, 'latin1');
  block.write(type, 156, 'latin1');
  block.write(target, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  octal(device[0], 329, 8);
  octal(device[1], 337, 8);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  block[155] = 0x20;
  return block;
}
