import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const MIB = 1 << 20;

const COMMANDS = {
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  ext4: ['mkfs.ext4', '-q', '-F'],
} as const;

/** A file system of its own in a file, by a loop device. */
export interface LoopMount {
  readonly path: string;
  unmount(): void;
}

/** Why there can be none here, for people; undefined where there can. */
export function reasonForNoMount(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  try {
    mountLoop('xfs', 320).unmount();
    return undefined;
  } catch (error) {
    return `cannot mount a file here: ${(error as Error).message}`;
  }
}

export function mountLoop(kind: keyof typeof COMMANDS, sizeMib: number): LoopMount {
  const folder = mkdtempSync(join(tmpdir(), 'microvm-native-loop-'));
  const path = join(folder, 'mounted');
  const image = join(folder, 'image');
  const [program, ...args] = COMMANDS[kind];
  try {
    mkdirSync(path);
    writeFileSync(image, '');
    truncateSync(image, sizeMib * MIB);
    execFileSync(program, [...args, image], { stdio: ['ignore', 'ignore', 'pipe'] });
    mount(image, path);
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  return {
    path,
    unmount: () => {
      execFileSync('umount', [path]);
      rmSync(folder, { recursive: true });
    },
  };
}

function mount(image: string, path: string): void {
  execFileSync('mount', ['-o', 'loop', image, path], { stdio: ['ignore', 'ignore', 'pipe'] });
}
