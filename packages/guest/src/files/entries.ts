import type { FileEntry, ReaddirOptions } from '@microvm/runtime';
import { PayloadReader } from '../payload.js';
import { ProtocolError } from '../protocol.js';
import { ask, decodeNothing } from './ask.js';
import { tooLong } from './collect.js';
import type { CheckedPath } from './file-arguments.js';
import type { CallPaths } from './file-error.js';
import { MAX_FILE_PATH_BYTES } from './file-protocol.js';
import { GuestFileEntry } from './file-stats.js';
import type { FileWorker } from './file-worker.js';

/** What an entry takes of the host's memory besides its name, about. */
const ENTRY_BYTES = 128;
/** DT_WHT of readdir(3) is the highest. */
const MAX_TYPE = 14;
const SLASH = 0x2f;

export interface ListRequest {
  readonly worker: FileWorker;
  readonly message: Buffer;
  readonly folder: CheckedPath;
  readonly paths: CallPaths;
  readonly maxBytes: number;
  readonly options: ReaddirOptions;
}

type Listed = string | Buffer | FileEntry | FileEntry<Buffer>;

interface WireEntry {
  readonly type: number;
  readonly name: Buffer;
}

function readEntries(body: Buffer, isRecursive: boolean): WireEntry[] {
  const entries: WireEntry[] = [];
  for (let at = 0; at < body.length;) {
    const input = new PayloadReader(body.subarray(at));
    const type = input.u8();
    const name = input.blob(MAX_FILE_PATH_BYTES);
    const parts = isRecursive ? name.toString('latin1').split('/') : [name.toString('latin1')];
    const isName = (part: string) => part !== '' && part !== '.' && part !== '..' && !/[/\0]/.test(part);
    if (type > MAX_TYPE || !parts.every(isName)) throw new ProtocolError('an entry that no folder has');
    entries.push({ type, name: Buffer.from(name) });
    at += 1 + 4 + name.length;
  }
  if (entries.length === 0) throw new ProtocolError('no entries');
  return entries;
}

/** The names, or entries, of a folder. Beyond `maxBytes` it rejects and ends the worker. */
export async function listFolder(request: ListRequest): Promise<Listed[]> {
  const { worker, message, paths, folder, options, maxBytes } = request;
  const { encoding = 'utf8', recursive = false, withFileTypes = false } = options;
  const listed: Listed[] = [];
  let size = 0;
  const text = (bytes: Buffer) =>
    bytes.toString(encoding === null || encoding === 'buffer' ? 'utf8' : encoding);
  const show = ({ type, name }: WireEntry): Listed => {
    if (!withFileTypes) return encoding === 'buffer' ? name : text(name);
    const slash = name.lastIndexOf(SLASH);
    const own = name.subarray(slash + 1);
    const above =
      slash < 0 ? folder.bytes : Buffer.concat([folder.bytes, Buffer.from('/'), name.subarray(0, slash)]);
    return encoding === 'buffer'
      ? new GuestFileEntry(own, above, type)
      : new GuestFileEntry(text(own), text(above), type);
  };
  await ask(worker, {
    ...{ message, paths, decode: decodeNothing },
    onEntries: (body) => {
      for (const entry of readEntries(body, recursive)) {
        size += ENTRY_BYTES + entry.name.length;
        if (size > maxBytes) {
          worker.cancel(tooLong(maxBytes));
          return;
        }
        listed.push(show(entry));
      }
    },
  });
  return listed;
}
