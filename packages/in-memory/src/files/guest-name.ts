/** Bytes that are no UTF-8 stand as lone surrogates, as Python has them: each name can be a string. */
const FIRST = 0xdc00;

function nameOf(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) return text;
  return [...bytes].map((byte) => String.fromCharCode(byte < 0x80 ? byte : FIRST + byte)).join('');
}

/** A path as the file system has it, whose names need not be UTF-8. */
export function pathOf(bytes: Buffer): string {
  const names: string[] = [];
  let from = 0;
  for (let at = bytes.indexOf('/'); at >= 0; at = bytes.indexOf('/', from)) {
    names.push(nameOf(bytes.subarray(from, at)));
    from = at + 1;
  }
  names.push(nameOf(bytes.subarray(from)));
  return names.join('/');
}

/** The bytes of a path. */
export function bytesOfPath(path: string): Buffer {
  if (!/[\udc80-\udcff]/.test(path)) return Buffer.from(path);
  const names = path.split('/').map((name) => {
    if (!/[\udc80-\udcff]/.test(name)) return Buffer.from(name);
    return Buffer.from([...name].map((char) => char.charCodeAt(0) & 0xff));
  });
  return Buffer.concat(names.flatMap((name, at) => (at === 0 ? [name] : [Buffer.from('/'), name])));
}
