import { ensureDefaultImage } from '../default/default-image.js';
import type { ImageDescription } from '../images/describe-images.js';
import { normalName } from '../images/reference.js';
import type { BuildConfig } from '../images/rootfs-image.js';
import type { RegistryOptions } from '../registry/skopeo.js';
import {
  bytesOf,
  type OptionValues,
  pathOf,
  textOf,
  textsOf,
  UsageError,
  type Verb,
  type VerbOption,
} from './verb.js';

const REGISTRY_OPTIONS: Readonly<Record<string, VerbOption>> = {
  'auth-file': { type: 'string', value: 'FILE', about: "credentials (default: skopeo's own files)" },
  'cert-dir': { type: 'string', value: 'FOLDER', about: 'certificates for the registry' },
  insecure: { type: 'boolean', about: 'plain HTTP, or a certificate that nobody vouches for' },
};

function registryOptions(values: OptionValues): RegistryOptions {
  return {
    authFile: pathOf(values, 'auth-file'),
    certDir: pathOf(values, 'cert-dir'),
    ...(values['insecure'] === true ? { tlsVerify: false } : {}),
  };
}

function described(verb: string, image: ImageDescription, name: string): { json: unknown; text: string } {
  return { json: image, text: `${verb} ${normalName(name)}: ${image.digest}, ${size(image.rootfsBytes)}` };
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const importVerb: Verb = {
  usage: 'SOURCE NAME',
  about: 'bring an image in from a file or a folder',
  notes: [
    'SOURCE is a path, of which the command finds out what it is, or one of',
    '  oci:FOLDER[:TAG]           an OCI image layout',
    '  oci-archive:FILE[:TAG]     an OCI image layout in a tar archive',
    '  docker-archive:FILE[:TAG]  what `docker save` writes',
    '  rootfs:FILE-OR-FOLDER      a root file system (tar: plain, gzip, zstd, xz)',
  ],
  minArgs: 2,
  maxArgs: 2,
  options: {},
  async run({ args: [source = '', name = ''], images, signal, onProgress }) {
    return described('imported', await images.import(source, name, { signal, onProgress }), name);
  },
};

const build: Verb = {
  usage: 'FOLDER NAME',
  about: 'make an image of the files in a folder, or in a tar archive of a root file system',
  minArgs: 2,
  maxArgs: 2,
  options: {
    env: { type: 'string', multiple: true, value: 'NAME=VALUE', about: 'a variable; may be given again' },
    user: { type: 'string', value: 'USER[:GROUP]', about: 'who runs commands (default: root)' },
    workdir: { type: 'string', value: 'FOLDER', about: 'where commands start (default: /)' },
    entrypoint: { type: 'string', multiple: true, value: 'ARG', about: 'ENTRYPOINT, an argument each' },
    cmd: { type: 'string', multiple: true, value: 'ARG', about: 'CMD, an argument each' },
    'stop-signal': { type: 'string', value: 'SIGNAL', about: 'what a stop sends (default: SIGTERM)' },
  },
  async run({ args: [folder = '', name = ''], values, images, signal, onProgress }) {
    const config: BuildConfig = {
      Env: textsOf(values, 'env'),
      User: textOf(values, 'user'),
      WorkingDir: textOf(values, 'workdir'),
      Entrypoint: textsOf(values, 'entrypoint'),
      Cmd: textsOf(values, 'cmd'),
      StopSignal: textOf(values, 'stop-signal'),
    };
    return described('built', await images.build(folder, name, { config, signal, onProgress }), name);
  },
};

const pull: Verb = {
  usage: 'REFERENCE [NAME]',
  about: 'fetch an image from a registry, by skopeo',
  notes: [
    'REFERENCE is a name such as debian:12 or registry:5000/app, or one of skopeo itself:',
    '  docker-daemon:NAME:TAG, containers-storage:NAME',
    'NAME is what the image is called here (default: the reference).',
  ],
  minArgs: 1,
  maxArgs: 2,
  options: REGISTRY_OPTIONS,
  async run({ args: [reference = '', as], values, images, signal, onProgress }) {
    const image = await images.pull(reference, { as, signal, onProgress, ...registryOptions(values) });
    return described('pulled', image, as ?? image.names[0] ?? reference);
  },
};

const push: Verb = {
  usage: 'IMAGE [REFERENCE]',
  about: 'send an image to a registry, by skopeo',
  notes: ["REFERENCE is the name there (default: the image's own)."],
  minArgs: 1,
  maxArgs: 2,
  options: REGISTRY_OPTIONS,
  async run({ args: [image = '', to], values, images, signal, onProgress }) {
    const pushed = await images.push(image, to, { signal, onProgress, ...registryOptions(values) });
    return { json: pushed, text: `pushed ${pushed.to}: ${pushed.digest}` };
  },
};

const ls: Verb = {
  usage: '',
  about: 'list all images',
  minArgs: 0,
  maxArgs: 0,
  options: {},
  async run({ images }) {
    const found = await images.list();
    const lines = found.flatMap(({ names, digest, rootfsBytes }) =>
      (names.length === 0 ? ['<none>'] : names).map((name) => [name, digest.slice(0, 19), size(rootfsBytes)]),
    );
    return { json: found, text: table([['NAME', 'DIGEST', 'SIZE'], ...lines]) };
  },
};

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const inspect: Verb = {
  usage: 'IMAGE',
  about: 'say all that is known of an image: its config, its layers, who uses it',
  minArgs: 1,
  maxArgs: 1,
  options: {},
  async run({ args: [image = ''], images }) {
    const found = await images.describe(image);
    return { json: found, text: JSON.stringify(found, null, 2) };
  },
};

const rm: Verb = {
  usage: 'NAME…',
  about: 'give up names; `gc` removes what then nothing needs',
  minArgs: 1,
  maxArgs: Infinity,
  options: {},
  async run({ args, images }) {
    const released = [];
    for (const name of args) released.push(await images.release(name));
    const lines = released.map(({ name, names, users }) => {
      const needs = [...names, ...users.map(({ kind, id, stateDir }) => `${kind} "${id}" in ${stateDir}`)];
      return needs.length === 0
        ? `released ${name}`
        : `released ${name}; still needed by ${needs.join(', ')}`;
    });
    return { json: released, text: lines.join('\n') };
  },
};

const gc: Verb = {
  usage: '',
  about: 'remove images and layers that nothing needs',
  minArgs: 0,
  maxArgs: 0,
  options: {
    'dry-run': { type: 'boolean', about: 'only say what would be removed' },
    'keep-bytes': { type: 'string', value: 'BYTES', about: 'keep so much of unused images, such as 10G' },
  },
  async run({ values, images, signal }) {
    const dryRun = values['dry-run'] === true;
    const result = await images.gc({ dryRun, keepBytes: bytesOf(values, 'keep-bytes'), signal });
    const verb = dryRun ? 'would remove' : 'removed';
    const lines = [
      ...result.unreadable.map(({ stateDir, problem }) => `everything stays: ${stateDir}: ${problem}`),
      ...result.removed.map(({ kind, id }) => `${verb} ${kind} ${id}`),
      `${verb} ${size(result.freedBytes)}`,
    ];
    return { json: result, text: lines.join('\n') };
  },
};

const verify: Verb = {
  usage: '[IMAGE]',
  about: 'read an image, or all of them, whole, and say what is missing or damaged',
  minArgs: 0,
  maxArgs: 1,
  options: {},
  async run({ args: [image], images, signal }) {
    const problems = await images.verify(image, { signal });
    const lines = problems.map(({ image: digest, part, problem }) => `${digest}: ${part}: ${problem}`);
    const text = problems.length === 0 ? 'nothing is damaged' : lines.join('\n');
    return { json: problems, text, exitCode: problems.length === 0 ? 0 : 1 };
  },
};

const tag: Verb = {
  usage: 'IMAGE NAME',
  about: 'give an image another name',
  minArgs: 2,
  maxArgs: 2,
  options: {},
  async run({ args: [image = '', name = ''], images }) {
    await images.tag(image, name);
    return { json: { name: normalName(name) }, text: `tagged ${normalName(name)}` };
  },
};

const defaultImage: Verb = {
  usage: '',
  about: 'make the default guest image (kernel, initramfs, empty disk), or find it in the cache',
  minArgs: 0,
  maxArgs: 0,
  options: {
    'cache-dir': {
      type: 'string',
      value: 'FOLDER',
      about: 'the cache (default: $MICROVM_CACHE_DIR, $XDG_CACHE_HOME/microvm, ~/.cache/microvm)',
    },
    refresh: { type: 'boolean', about: 'look for newer Debian packages even though the image is cached' },
  },
  async run({ values, signal, onProgress }) {
    if (textOf(values, 'store') !== undefined)
      throw new UsageError('--store: the default image is in the cache');
    const image = await ensureDefaultImage({
      cacheDir: pathOf(values, 'cache-dir'),
      refresh: values['refresh'] === true,
      onProgress,
      signal,
    });
    return { json: image, text: JSON.stringify(image, null, 2) };
  },
};

/** All verbs, in the order of the help. */
export const VERBS: Readonly<Record<string, Verb>> = {
  import: importVerb,
  pull,
  push,
  ls,
  inspect,
  tag,
  rm,
  gc,
  verify,
  'build-from-dir': build,
  default: defaultImage,
};
