/** One entry of a stream that flattenLayers has written. Names are latin1: each byte is one character. */
export interface StreamEntry {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly link: string;
  readonly major: number;
  readonly minor: number;
  readonly data: Buffer;
  readonly pax: ReadonlyMap<string, Buffer>;
}

function paxRecords(bytes: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < bytes.length;) {
    const blank = bytes.indexOf(' ', at);
    const end = at + Number(bytes.toString('latin1', at, blank));
    const equals = bytes.indexOf('=', blank);
    if (bytes[end - 1] !== 10) throw new Error('a record does not end with its line');
    records.set(bytes.toString('latin1', blank + 1, equals), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}

/** Reads the normal form that flattenLayers writes, and nothing more: a second opinion in the tests. */
export function readStream(stream: Buffer): StreamEntry[] {
  const entries: StreamEntry[] = [];
  let pax = new Map<string, Buffer>();
  for (let at = 0; stream[at] !== 0;) {
    const text = (begin: number, size: number): string =>
      stream.toString('latin1', at + begin, at + begin + size).replace(/\0.*$/s, '');
    const number = (begin: number, size: number): number => parseInt(text(begin, size), 8);
    const record = (keyword: string): string | undefined => pax.get(keyword)?.toString('latin1');
    const size = Number(record('size') ?? number(124, 12));
    const data = stream.subarray(at + 512, at + 512 + size);
    const type = text(156, 1);
    if (type === 'x') {
      pax = paxRecords(data);
    } else {
      entries.push({
        path: record('GNU.sparse.name') ?? record('path') ?? text(0, 100),
        type,
        mode: number(100, 8),
        uid: Number(record('uid') ?? number(108, 8)),
        gid: Number(record('gid') ?? number(116, 8)),
        mtime: number(136, 12),
        link: record('linkpath') ?? text(157, 100),
        major: number(329, 8),
        minor: number(337, 8),
        data,
        pax,
      });
      pax = new Map();
    }
    at += 512 + Math.ceil(size / 512) * 512;
    if (at >= stream.length) throw new Error('the stream has no end');
  }
  return entries;
}
