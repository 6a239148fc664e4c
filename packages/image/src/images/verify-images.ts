import { stat } from 'node:fs/promises';
import { isVmRuntimeError } from '@microvm/runtime';
import { sha256OfFile } from '../content/file-digest.js';
import { ignoreAbsent } from '../host/system-error.js';
import { hexOf } from '../sources/offered-image.js';
import { listImages } from './describe-images.js';
import { type ImageFolder, templateKey } from './image-folder.js';
import { readStored } from './take-image.js';

/** Something of an image that is missing or damaged. */
export interface ImageProblem {
  /** The image: `sha256:` and 64 hex digits. */
  readonly image: string;
  /** A blob by its digest, or a file of the template. */
  readonly part: string;
  readonly problem: string;
}

/** Reads all of an image, or of all images. */
export async function verifyImages(
  folder: ImageFolder,
  digest: string | undefined,
  signal: AbortSignal | undefined,
): Promise<ImageProblem[]> {
  const all = digest === undefined ? await listImages(folder) : [{ digest: `sha256:${digest}` }];
  const problems: ImageProblem[] = [];
  for (const image of all) {
    const hex = hexOf(image.digest);
    const found = [
      ...(await blobProblems(folder, hex, signal)),
      ...(await templateProblems(folder, hex, signal)),
    ];
    problems.push(...found.map((problem) => ({ image: image.digest, ...problem })));
  }
  return problems;
}

type Problem = Omit<ImageProblem, 'image'>;

async function blobProblems(
  folder: ImageFolder,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  let layers;
  try {
    ({ layers } = (await readStored(folder, digest)).manifest);
  } catch (error) {
    if (!isVmRuntimeError(error, 'MICROVM_IMAGE_INVALID')) throw error;
    const { entry = `sha256:${digest}`, reason } = error.details;
    return [{ part: entry, problem: reason }];
  }
  const problems: Problem[] = [];
  for (const { digest: part, size } of layers) {
    const path = folder.blobs.path(hexOf(part));
    const found = await stat(path).catch(ignoreAbsent);
    if (found === undefined) problems.push({ part, problem: 'there is no such blob' });
    else if (found.size !== size) {
      problems.push({ part, problem: `it has ${found.size} bytes, expected ${size}` });
    } else {
      const actual = await sha256OfFile(path, signal);
      if (actual !== hexOf(part)) problems.push({ part, problem: `its digest is sha256:${actual}` });
    }
  }
  return problems;
}

async function templateProblems(
  folder: ImageFolder,
  digest: string,
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  return folder.entries(signal).problems('template', templateKey(digest));
}
