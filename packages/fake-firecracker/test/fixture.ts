import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient } from '@microvm/guest';
import { ensureDefaultImage } from '@microvm/image';
import { onTestFinished } from 'vitest';
import { fakeFirecrackerPath } from '../src/index.js';
import { dialGuest, VmmProcess } from './vmm-process.js';

const AGENT_PORT = 1024;
const MEM_SIZE_MIB = 64;
export const BOOT_ARGS = 'console=ttyS0 panic=-1 microvm.poweroff=reboot microvm.channel=vsock';

/** A folder of the test's own. */
export async function newFolder(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fake-firecracker-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  return directory;
}

/** Files of a VM under the names that its VMM is told. */
export async function stageFiles(directory: string): Promise<void> {
  const image = await ensureDefaultImage();
  await copyFile(image.initrdPath, join(directory, 'initrd'));
  await copyFile(image.kernelPath, join(directory, 'kernel'));
  await writeFile(join(directory, 'disk'), Buffer.alloc(1 << 20));
}

export async function startVmm(directory: string, program = fakeFirecrackerPath()): Promise<VmmProcess> {
  const vmm = new VmmProcess(directory, [program, '--id', 'vm', '--api-sock', 'api.sock']);
  onTestFinished(() => vmm.kill());
  return vmm.ready();
}

export async function boot(vmm: VmmProcess, bootArgs = BOOT_ARGS): Promise<void> {
  await vmm.must('PUT', '/machine-config', { vcpu_count: 1, mem_size_mib: MEM_SIZE_MIB });
  await vmm.must('PUT', '/boot-source', {
    kernel_image_path: 'kernel',
    initrd_path: 'initrd',
    boot_args: bootArgs,
  });
  await vmm.must('PUT', '/drives/root', { drive_id: 'root', path_on_host: 'disk', is_root_device: false });
  await vmm.must('PUT', '/vsock', { guest_cid: 3, uds_path: 'v.sock' });
  await vmm.must('PUT', '/actions', { action_type: 'InstanceStart' });
}

/** A VM that runs in a folder of its own. */
export async function bootVm(bootArgs?: string, program?: string): Promise<VmmProcess> {
  const directory = await newFolder();
  await stageFiles(directory);
  const vmm = await startVmm(directory, program);
  await boot(vmm, bootArgs);
  return vmm;
}

/** A client of the VM's agent. */
export async function clientOf(vmm: VmmProcess): Promise<AgentClient> {
  const stream = await dialGuest(join(vmm.directory, 'v.sock'), AGENT_PORT);
  if (typeof stream === 'string') throw new Error(`the guest hung up: "${stream}"`);
  return clientOn(stream);
}

export async function clientOn(stream: Duplex): Promise<AgentClient> {
  const client = await AgentClient.connect(stream, { vm: { vmId: 'vm' }, timeoutMs: 600_000 });
  onTestFinished(() => client.close());
  return client;
}

export async function outputOf(client: AgentClient, script: string): Promise<string> {
  const { stdout } = await client.exec({ argv: ['sh', '-c', script] }).result;
  return stdout.toString().trim();
}

export async function pause(vmm: VmmProcess): Promise<void> {
  await vmm.must('PATCH', '/vm', { state: 'Paused' });
}

export async function resume(vmm: VmmProcess): Promise<void> {
  await vmm.must('PATCH', '/vm', { state: 'Resumed' });
}

/** Writes the files of a snapshot of a paused VM into its folder. */
export async function capture(vmm: VmmProcess): Promise<void> {
  await vmm.must('PUT', '/snapshot/create', { snapshot_path: 'state', mem_file_path: 'memory' });
}

/** A VM, paused, from the snapshot in another one's folder. */
export async function restoreFrom(source: string): Promise<VmmProcess> {
  const directory = await newFolder();
  await writeFile(join(directory, 'disk'), Buffer.alloc(1 << 20));
  const vmm = await startVmm(directory);
  await vmm.must('PUT', '/snapshot/load', {
    snapshot_path: join(source, 'state'),
    mem_backend: { backend_type: 'File', backend_path: join(source, 'memory') },
  });
  return vmm;
}
