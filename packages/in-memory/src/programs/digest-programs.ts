import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { Process } from '../process/process.js';
import { MAX_HELD_BYTES } from '../process/process.js';
import { eachInput } from './inputs.js';
import { optionsOf } from './options.js';
import type { Program, Programs } from './registry.js';

const digest =
  (algorithm: string): Program =>
  async (process) => {
    const { operands, flags } = optionsOf(process, 'bc', { check: 'c' });
    if (flags.has('c')) return check(process, algorithm, operands);
    return eachInput(process, operands, async (file, name) => {
      const hash = createHash(algorithm);
      for await (const chunk of process.chunks(file)) hash.update(chunk);
      await process.write(`${hash.digest('hex')}  ${name}\n`);
    });
  };

async function check(process: Process, algorithm: string, operands: readonly string[]): Promise<number> {
  let failed = 0;
  const status = await eachInput(process, operands, async (file) => {
    for await (const line of process.lines(file)) {
      const [, wanted, path = ''] = /^([0-9a-f]+) [ *](.*)$/.exec(line) ?? [];
      if (wanted === undefined) continue;
      const inode = process.files.find(process.path(path));
      const found =
        inode?.kind === 'file' ? createHash(algorithm).update(inode.read(0, inode.size)).digest('hex') : '';
      if (found !== wanted) failed += 1;
      await process.write(`${path}: ${found === wanted ? 'OK' : 'FAILED'}\n`);
    }
  });
  return failed > 0 ? 1 : status;
}

const base64: Program = async (process) => {
  const { operands, flags, values } = optionsOf(process, 'diw:', { decode: 'd', wrap: 'w' });
  const width = Number(values.get('w') ?? '76');
  return eachInput(process, operands, async (file) => {
    const text = await process.readAll(file);
    if (flags.has('d')) {
      await process.write(Buffer.from(text, 'base64'));
      return;
    }
    const encoded = Buffer.from(text, 'latin1').toString('base64');
    const lines = width > 0 ? (encoded.match(new RegExp(`.{1,${width}}`, 'g')) ?? []) : [encoded];
    await process.write(lines.join('\n') + (width > 0 && lines.length > 0 ? '\n' : ''));
  });
};

const gzip: Program = async (process) => {
  const { operands, flags } = optionsOf(process, 'cdfkqv123456789');
  const isReverse = flags.has('d') || process.name !== 'gzip';
  const toOutput = flags.has('c') || process.name === 'zcat' || operands.length === 0;
  const convert = (data: Buffer): Buffer =>
    isReverse ? gunzipSync(data, { maxOutputLength: MAX_HELD_BYTES }) : gzipSync(data);
  let status = 0;
  const done = await eachInput(process, operands, async (file, name) => {
    const data = Buffer.from(await process.readAll(file), 'latin1');
    let converted: Buffer;
    try {
      converted = convert(data);
    } catch {
      status = await process.complain(`${name}: not in gzip format, or too long`);
      return;
    }
    if (toOutput) {
      await process.write(converted);
      return;
    }
    const full = process.path(name);
    process.files.writeFile(isReverse ? full.replace(/\.gz$/, '') : `${full}.gz`, converted);
    if (!flags.has('k')) process.files.unlink(full);
  });
  return done || status;
};

export const DIGEST_PROGRAMS: Programs<'digest'> = {
  base64,
  gunzip: gzip,
  gzip,
  md5sum: digest('md5'),
  sha1sum: digest('sha1'),
  sha256sum: digest('sha256'),
  sha512sum: digest('sha512'),
  zcat: gzip,
};
