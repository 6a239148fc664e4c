import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { StepFailed } from '../setup/run.mjs';

/** From start to `ready`; a boot that takes longer hangs, and another one is tried. */
const BOOT_TIMEOUT_MS = 90_000;
const BOOT_ATTEMPTS = 3;
const POWER_OFF_TIMEOUT_MS = 20_000;
const MEMORY_MIB = 6144;
const STATE_DISK_BYTES = 16 * 1024 ** 3;

/**
 * Boots the testbed and runs its job. Resolves with the job's exit code.
 *
 * @param {{ folder: string, system: { kernel: string, initrd: string, root: string }, checkout: string, nodeModules: string,
 *   deadlineMs: number, onOutput: (data: Buffer) => void, onResults: (data: Buffer) => void, onNote: (text: string) => void,
 *   signal: AbortSignal }} options
 */
export async function runMachine(options) {
  for (let attempt = 1; ; attempt += 1) {
    const end = await boot(options);
    if (end.code !== undefined) return end.code;
    if (end.isReady || attempt === BOOT_ATTEMPTS)
      throw new StepFailed(`${end.problem}\n${await consoleTail(options.folder)}`);
    options.onNote(`${end.problem}; trying again`);
  }
}

async function boot(options) {
  const { folder, signal, deadlineMs } = options;
  const ports = await Promise.all(['control', 'output', 'results'].map((name) => listen(join(folder, name))));
  const [control, output, results] = ports;
  const state = join(folder, 'state.img');
  await writeFile(state, '');
  await truncate(state, STATE_DISK_BYTES);
  const qemu = spawn('qemu-system-x86_64', qemuArguments({ ...options, state }), {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const end = { code: undefined, isReady: false, problem: undefined };
  const kill = (problem) => {
    end.problem ??= problem;
    qemu.kill('SIGKILL');
  };
  const timers = [
    setTimeout(kill, BOOT_TIMEOUT_MS, `the testbed was not up after ${BOOT_TIMEOUT_MS / 1000} s`),
  ];
  const onAbort = () => kill('interrupted');
  signal.addEventListener('abort', onAbort);

  output.onData = options.onOutput;
  results.onData = options.onResults;
  control.onLine = (line) => {
    clearTimeout(timers.pop());
    if (line === 'ready') {
      end.isReady = true;
      timers.push(setTimeout(kill, deadlineMs, `the job was not done after ${deadlineMs / 1000} s`));
    } else if (line.startsWith('exit ')) {
      end.code = Number(line.slice(5));
      timers.push(setTimeout(kill, POWER_OFF_TIMEOUT_MS));
    }
  };
  try {
    const stderr = qemu.stderr.toArray();
    const status = await new Promise((resolve, reject) => {
      qemu.once('error', (error) => reject(new StepFailed(`QEMU did not start: ${error.message}`)));
      qemu.once('close', (code, killed) => resolve(code ?? killed));
    });
    await Promise.all(ports.map((port) => port.drained()));
    end.problem ??= `QEMU ended with ${status} before the job was done: ${Buffer.concat(await stderr)}`;
    return end;
  } finally {
    signal.removeEventListener('abort', onAbort);
    timers.forEach(clearTimeout);
    for (const port of ports) port.close();
  }
}

/** A unix socket to which QEMU connects one port of its virtio-serial device. */
async function listen(path) {
  const port = { onData: () => {}, onLine: () => {}, drained: async () => {}, close: () => server.close() };
  const server = createServer((socket) => {
    const closed = new Promise((resolve) => socket.once('close', resolve));
    port.drained = () => closed;
    // QEMU was killed.
    socket.on('error', () => {});
    socket.on('data', (data) => port.onData(data));
    createInterface({ input: socket }).on('line', (line) => port.onLine(line));
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(path, resolve));
  return port;
}

function qemuArguments({ folder, system, checkout, nodeModules, state }) {
  const disks = [
    ['root', system.root, 'snapshot=on'],
    ['checkout', checkout, 'snapshot=on'],
    ['modules', nodeModules, 'snapshot=on'],
    ['state', state, 'cache=unsafe'],
  ];
  const ports = ['control', 'output', 'results'];
  return [
    // Emulated, since what is wanted is the one thing that the host's KVM may not have: SVM for the guest.
    ...['-M', 'microvm,acpi=on,rtc=on', '-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'max'],
    ...['-m', `${MEMORY_MIB}`, '-smp', '2', '-nodefaults', '-no-user-config', '-nographic', '-no-reboot'],
    ...['-kernel', system.kernel, '-initrd', system.initrd, '-append', kernelArguments()],
    ...['-serial', `file:${join(folder, 'console.log')}`],
    // First of all, so that its ports are /dev/vport0p1 and so on.
    ...['-device', 'virtio-serial-device'],
    ...disks.flatMap(([name, path, option]) => [
      ...['-drive', `id=${name},file=${path},format=raw,if=none,${option}`],
      ...['-device', `virtio-blk-device,drive=${name}`],
    ]),
    ...ports.flatMap((name, index) => [
      ...['-chardev', `socket,id=${name},path=${join(folder, name)}`],
      ...['-device', `virtserialport,chardev=${name},name=${name},nr=${index + 1}`],
    ]),
  ];
}

function kernelArguments() {
  // Without the hint about one boot in ten hangs while the kernel calibrates its clock against an emulated timer.
  const mhz = /^cpu MHz\s*: ([\d.]+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '2000';
  return [
    ...['console=ttyS0', 'quiet', 'reboot=t', 'panic=-1', 'mitigations=off', 'cgroup_no_v1=all'],
    ...['cryptomgr.notests', 'random.trust_cpu=on', `tsc_early_khz=${Math.round(Number(mhz) * 1000)}`],
  ].join(' ');
}

async function consoleTail(folder) {
  const text = await readFile(join(folder, 'console.log'), 'utf8').catch(() => '');
  return `end of its console:\n${text.split('\n').slice(-30).join('\n')}`;
}
