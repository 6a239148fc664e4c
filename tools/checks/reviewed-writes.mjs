import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileWrites } from './file-writes.mjs';
import { sourceFiles } from './source-files.mjs';

/** Code that has to do with state: all that is published, without what is for tests and measurements. */
const SOURCES =
  /^(packages\/(?!bench|conformance|fake-firecracker|volatile-disk)[^/]+\/src|examples\/[^/]+\/src|native\/surface)\//;

const LOG = 'a log: what a power cut takes of it is missed by nobody';
const LIFE = 'of one life of a VM, which no power cut leaves alive';
const PROBE = 'tries what the file system can do; removed at once';
const PART = 'a part of a staged snapshot: the engine syncs the folder before it publishes it';
const PARTIAL = 'in a partial file, which is synced and then gets its name';
const STAGED = 'in a work folder; synced before it gets its name under the lock of the store';
const WORK = 'in a work folder, which is removed when its process ends or has died';
const CACHE = 'in the image cache, whose entries are checked on first use after each boot of the host';

/**
 * The only places that may write files by calls which are not durable by themselves, with the reason. State
 * is written by `writeDurable`, `putDurable` and `renameDurable`.
 */
export const REVIEWED = [
  {
    file: 'examples/minimal-driver/src/process/spawn-vmm.ts',
    why: LOG,
    calls: [
      "open(join(directory, LOG_FILES.console), 'a', 0o600)",
      "open(join(directory, LOG_FILES.vmmLog), 'a', 0o600)",
    ],
  },
  { file: 'examples/minimal-driver/src/vmm.mjs', why: LOG, calls: ['writeSync(1, `${line}\\n`)'] },
  {
    file: 'examples/minimal-driver/src/vmm.mjs',
    why: PART,
    calls: ['writeFileSync(path, JSON.stringify(memory))'],
  },
  {
    // Of private disks, by `captureDisks`, and of memory and state.
    file: 'packages/driver-kit/src/disks/bounded-copy.ts',
    why: PART,
    calls: ['copyFile(from, to, options)'],
  },
  {
    file: 'packages/driver-kit/src/host/state-dir.ts',
    why: PROBE,
    calls: ['writeFile(from, Buffer.alloc(4096, 1))', 'copyFile(from, to)'],
  },
  {
    file: 'packages/firecracker/src/host/host-facts.ts',
    why: 'the copy of Firecracker that VMs run: each open of the state directory makes it anew',
    calls: ['copyFile(firecrackerPath, execFile)'],
  },
  { file: 'packages/firecracker/src/host/stage.ts', why: LIFE, calls: ['symlink(from, join(folder, name))'] },
  {
    file: 'packages/firecracker/src/host/uid-claims.ts',
    why: 'a claim in `/run`, which is gone with the boot; an empty one is taken over',
    calls: ['writeFile(join(this.#folder, `${block}.${ownerId}`), text, { mode: 0o644 })'],
  },
  {
    file: 'packages/firecracker/src/process/spawn-vmm.ts',
    why: LOG,
    calls: ['promisify(open)', 'rename(vmmLog, join(directory, VM_FILES.vmmLogOld))'],
  },
  {
    // The file says which life of a VM runs: after a power cut none does.
    file: 'packages/firecracker/src/vm/life.ts',
    why: LIFE,
    calls: ['writeFile(join(directory, VM_FILES.life), JSON.stringify(life), { mode: 0o600 })'],
  },
  {
    file: 'packages/firecracker/src/vm/oom-kill.ts',
    why: LOG,
    calls: [
      'appendFile(join(directory, VM_FILES.vmmLog), `killed by the kernel: memory.max (oom_kill ${kills})\\n`)',
    ],
  },
  {
    file: 'packages/image/src/default/base-image.ts',
    why: CACHE,
    calls: [
      'copyFile(source, join(folder, BASE_FILES.bzImage))',
      'writeFile(join(folder, BASE_FILES.vmlinux), elf)',
      'copyFile(path, join(folder, name))',
      "writeFile(join(folder, BASE_FILES.moduleOrder), order.map((name) => `${name}\\n`).join(''))",
      'copyFile(source, join(folder, BASE_FILES.busybox))',
      'writeFile(join(folder, BASE_FILES.applets), applets)',
      'copyFile(source, join(folder, BASE_FILES.licences, name))',
    ],
  },
  {
    // The last two write the files of an npm package, in a checkout.
    file: 'packages/image/src/default/packaged-base.ts',
    why: CACHE,
    calls: [
      'copyFile(join(folder, name), join(into, name))',
      'copyFile(base.path(name), join(folder, name))',
      'writeFile(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\\n`)',
    ],
  },
  {
    file: 'packages/image/src/content/content-store.ts',
    why: PARTIAL,
    calls: ['link(source, partial)', 'copyFile(source, partial, { sparse: true, signal })'],
  },
  {
    file: 'packages/image/src/disks/disk.ts',
    why: PARTIAL,
    calls: [
      'truncate(path, sizeBytes)',
      'copyFile(from, to, { sparse: true, signal, onProgress: report })',
      'link(partial, to)',
    ],
  },
  {
    file: 'packages/image/src/disks/ext4.ts',
    why: PARTIAL,
    calls: ["open(path, 'wx', 0o644)", 'truncate(path, sizeBytes)'],
  },
  {
    file: 'packages/image/src/store/entry-store.ts',
    why: CACHE,
    calls: [
      'writeFile(join(folder, MANIFEST), JSON.stringify(manifest))',
      'rename(folder, entry)',
      'symlink(target, link)',
      'symlink(target, temporary)',
      'rename(temporary, link)',
      'writeFile(temporary, text)',
      'rename(temporary, path)',
    ],
  },
  {
    file: 'packages/image/src/images/blob-store.ts',
    why: STAGED,
    calls: [
      'link(this.path(digest), join(folder, digest))',
      "open(join(folder, digest), 'w', MODE)",
      'writeFile(join(folder, digest), data, { mode: MODE })',
      'rename(join(folder, digest), this.path(digest))',
    ],
  },
  {
    file: 'packages/image/src/images/holds.ts',
    why: 'names a living process: after a power cut there is none',
    calls: ["writeFile(path, '')"],
  },
  {
    file: 'packages/image/src/images/rootfs-image.ts',
    why: STAGED,
    calls: ['rename(join(workDir, partial), path)'],
  },
  {
    file: 'packages/image/src/images/squashfs-root.ts',
    why: STAGED,
    calls: ["open(path, 'r+')"],
  },
  {
    file: 'packages/image/src/images/take-image.ts',
    why: STAGED,
    calls: ['link(from, to)', 'writeFile(join(template, IMAGE_FILE), JSON.stringify(image))'],
  },
  {
    file: 'packages/image/src/registry/push.ts',
    why: WORK,
    calls: [
      "writeFile(join(layout, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))",
      "writeFile(join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }))",
    ],
  },
  {
    file: 'packages/image/src/sources/open-source.ts',
    why: WORK,
    calls: ['createWriteStream(to)', "open(to, 'wx', 0o600)"],
  },
  {
    file: 'packages/image/src/default/initrd-image.ts',
    why: CACHE,
    calls: ['writeFile(join(folder, INITRD_FILE), await buildInitramfs(await partsOf(base, agent)))'],
  },
  {
    file: 'packages/in-memory/src/driver/vm-files.ts',
    why: LOG,
    calls: ['appendFile(path, console.from(savedConsole), { mode: 0o600 })'],
  },
  {
    file: 'packages/qemu/src/process/spawn-vmm.ts',
    why: LOG,
    calls: ["open(pathOf(directory, 'vmmLog'), 'a', 0o600)"],
  },
  { file: 'packages/qemu/src/vm/capture.ts', why: PART, calls: ["open(path, 'wx+', 0o600)"] },
  {
    file: 'packages/runtime/src/engine/reserve.ts',
    why: 'room that is kept for records: nobody reads it',
    calls: ['writeFile(this.#path, randomBytes(BYTES), { mode: 0o600 })'],
  },
  {
    file: 'packages/runtime/src/engine/sync-path.ts',
    why: 'opens to sync what others have written',
    calls: ['promisify(open)'],
  },
];

/** Writes of the tree that are not reviewed, or are reviewed but gone: one line for each. */
export async function unreviewedWrites(root, reviewed = REVIEWED) {
  const problems = [];
  const known = reviewed.flatMap(({ file, calls }) => calls.map((call) => ({ file, call })));
  const unused = new Set(known);
  const files = await sourceFiles(root, (path) => SOURCES.test(path) && /\.[cm]?[jt]s$/.test(path));
  for (const file of files) {
    for (const { line, call } of fileWrites(file, await readFile(join(root, file), 'utf8'))) {
      const entry = known.find((each) => each.file === file && each.call === call);
      unused.delete(entry);
      if (entry === undefined) problems.push(`${file}:${line}: ${call} is not on the reviewed list`);
    }
  }
  for (const { file, call } of unused) problems.push(`${file}: ${call} is on the reviewed list and gone`);
  return problems;
}
