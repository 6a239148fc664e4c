import { ProtocolError } from '../protocol.js';
import { fileError } from './file-error.js';
import type { CallPaths } from './file-error.js';
import type { FileRequestUser, FileWorker } from './file-worker.js';

/** A request to a file worker, as its caller has it. */
export interface Question<T> extends Pick<FileRequestUser, 'onContent' | 'onEntries' | 'onEvent' | 'onTree'> {
  readonly message: Buffer;
  readonly paths: CallPaths;
  /** Reads the body of FILE_DONE. Throws a `ProtocolError`, which ends the session. */
  decode(body: Buffer): T;
}

/** For requests whose FILE_DONE has no body. */
export function decodeNothing(body: Buffer): void {
  if (body.length > 0) throw new ProtocolError('payload too long');
}

/** Sends one request and answers what FILE_DONE says. A failure of the guest is an error of Node's shape. */
export function ask<T>(worker: FileWorker, question: Question<T>): Promise<T> {
  const { message, paths, onContent, onEntries, onEvent, onTree } = question;
  return new Promise((resolve, reject) => {
    worker.send(message, {
      ...(onContent === undefined ? {} : { onContent }),
      ...(onEntries === undefined ? {} : { onEntries }),
      ...(onEvent === undefined ? {} : { onEvent }),
      ...(onTree === undefined ? {} : { onTree }),
      onDone: (body) => resolve(question.decode(body)),
      onFailed: (failure) => reject(fileError(failure, paths)),
      onLost: (error) => reject(error),
    });
  });
}
