import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { SuiteImage, SuiteImages } from './factory.js';

/** The config of an image by the names that OCI has for it. */
interface OciConfig {
  readonly Env: readonly string[];
  readonly User: string;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly StopSignal?: string;
}

/** What the images are made with; that of `@microvm/image` fits. */
export interface ImageBuilder {
  /** Makes an image of a folder. */
  build(
    folder: string,
    name: string,
    options: { readonly config: OciConfig },
  ): Promise<{ readonly digest: string }>;
  /** Gives an image another name. */
  tag(digest: string, name: string): Promise<void>;
}

export interface LinuxImagesParts {
  readonly builder: () => Promise<ImageBuilder>;
  /** The path of a static busybox. */
  readonly busybox: () => Promise<string>;
  /** Removes the store. */
  readonly dispose: () => Promise<void>;
}

/** A factory's `images`, for guests that are Linux: a static busybox and the files of the test. */
export function linuxImages({ builder, busybox, dispose }: LinuxImagesParts): SuiteImages {
  const made = new Map<string, Promise<string>>();
  return {
    async tag(name, image) {
      const key = JSON.stringify(image);
      const known = made.get(key);
      const digest = known ?? build(await builder(), await busybox(), { name, image });
      made.set(key, digest);
      if (known !== undefined) await (await builder()).tag(await digest, name);
      return digest;
    },
    async dispose() {
      made.clear();
      await dispose();
    },
  };
}

async function build(
  builder: ImageBuilder,
  busybox: string,
  { name, image }: { readonly name: string; readonly image: SuiteImage },
): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'suite-image-'));
  try {
    await mkdir(join(folder, 'bin'));
    await copyFile(busybox, join(folder, 'bin/busybox'));
    const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8' }).trim().split('\n');
    for (const applet of applets) {
      if (applet !== 'busybox') await symlink('busybox', join(folder, 'bin', applet));
    }
    for (const [path, text] of Object.entries(image.files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text, { mode: text.startsWith('#!') ? 0o755 : 0o644 });
    }
    return (await builder.build(folder, name, { config: ociConfig(image) })).digest;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function ociConfig({ config }: SuiteImage): OciConfig {
  const { env, user, workingDir, entrypoint, cmd, stopSignal } = config;
  return {
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    User: user,
    WorkingDir: workingDir,
    Entrypoint: entrypoint,
    Cmd: cmd,
    ...(stopSignal === undefined ? {} : { StopSignal: stopSignal }),
  };
}
