import { join, type FileSystem } from '../fs/file-system.js';
import { hasPattern, patternOf, plainText, type Segment } from './pattern.js';

/** Paths of one pattern; beyond them it stands for itself, as does one that names nothing. */
const MOST_PATHS = 100_000;

/** The parts of a field between its slashes. */
function splitPath(field: readonly Segment[]): Segment[][] {
  const parts: Segment[][] = [[]];
  for (const { text, isQuoted } of field) {
    text.split('/').forEach((piece, index) => {
      if (index > 0) parts.push([]);
      if (piece !== '' || isQuoted) parts.at(-1)?.push({ text: piece, isQuoted });
    });
  }
  return parts;
}

/** The paths that a field names as a pattern, in order; none where it names nothing. */
export function expandPaths(files: FileSystem, cwd: string, field: readonly Segment[]): string[] {
  if (!hasPattern(field)) return [];
  const parts = splitPath(field);
  const isAbsolute = parts.length > 1 && plainText(parts[0] ?? []) === '';
  let found: string[] = [isAbsolute ? '/' : ''];
  const rest = isAbsolute ? parts.slice(1) : parts;
  for (const [index, part] of rest.entries()) {
    const isLast = index === rest.length - 1;
    found = found.flatMap((base) => expandPart({ files, cwd, base, isLast }, part));
    if (found.length > MOST_PATHS) return [];
  }
  return found;
}

function expandPart(
  at: { readonly files: FileSystem; readonly cwd: string; readonly base: string; readonly isLast: boolean },
  part: readonly Segment[],
): string[] {
  const { files, cwd, base, isLast } = at;
  const full = base.startsWith('/') ? base : base === '' ? cwd : join(cwd, base);
  const below = (name: string): string => (base === '' ? name : join(base, name));
  if (!hasPattern(part)) {
    const name = plainText(part);
    if (name === '') return files.find(full)?.kind === 'directory' ? [below('')] : [];
    return isLast && files.find(join(full, name)) === undefined ? [] : [below(name)];
  }
  const folder = files.find(full);
  if (folder?.kind !== 'directory' || !files.mayRead(folder)) return [];
  const pattern = patternOf(part);
  const showsHidden = part[0]?.text.startsWith('.') === true;
  return files
    .readdir(full)
    .filter((name) => (showsHidden || !name.startsWith('.')) && pattern.test(name))
    .filter((name) => isLast || files.find(join(full, name))?.kind === 'directory')
    .map(below);
}
