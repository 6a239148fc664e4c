import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { StepFailed } from '../setup/run.mjs';

/**
 * Until the kernel's first word, which comes after the place where it may hang; and from there to `ready`.
 */
const KERNEL_TIMEOUT_MS = 60_000;
const BOOT_TIMEOUT_MS = 240_000;
const ATTEMPTS = 3;
const POWER_OFF_TIMEOUT_MS = 20_000;
/** Without a sign of life for so long its processors stand still, see l1/init. */
const STANDSTILL_MS = 60_000;
const PORTS = ['console', 'control', 'output', 'results'];
const MEMORY_MIB = 6144;
const STATE_DISK_BYTES = 16 * 1024 ** 3;

/**
 * Boots the testbed and runs its job; from the start again when the machine, not the job, fails. Resolves
 * with the job's exit code.
 *
 * @param {{ folder: string, system: { kernel: string, initrd: string, root: string }, checkout: string,
 * nodeModules: string,
 * deadlineMs: number, onOutput: (data: Buffer) => void, onResults: (data: Buffer) => void, onNote: (text:
 * string) => void,
 *   signal: AbortSignal }} options
 */
export async function runMachine(options) {
  for (let attempt = 1; ; attempt += 1) {
    const life = await boot(options);
    if (life.code !== undefined) return life.code;
    const mayRetry = (!life.isReady || life.stoodStill) && !options.signal.aborted;
    if (!mayRetry || attempt === ATTEMPTS)
      throw new StepFailed(`${life.problem}\n${consoleTail(life.console)}`);
    options.onNote(`${life.problem}; trying again`);
  }
}

async function boot(options) {
  const { folder, signal } = options;
  const ports = await Promise.all(PORTS.map((name) => listen(join(folder, name))));
  const state = join(folder, 'state.img');
  await writeFile(state, '');
  await truncate(state, STATE_DISK_BYTES);
  signal.throwIfAborted();
  const qemu = spawn('qemu-system-x86_64', qemuArguments({ ...options, state }), {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const life = watch(qemu, ports, options);
  const interrupt = () => life.kill('interrupted');
  signal.addEventListener('abort', interrupt);
  try {
    const stderr = qemu.stderr.toArray();
    const status = await new Promise((resolve, reject) => {
      qemu.once('error', (error) => reject(new StepFailed(`QEMU did not start: ${error.message}`)));
      qemu.once('close', (code, killed) => resolve(code ?? killed));
    });
    await Promise.all(ports.map((port) => port.drained()));
    life.problem ??= `QEMU ended with ${status} before the job was done: ${Buffer.concat(await stderr)}`;
    return life;
  } finally {
    signal.removeEventListener('abort', interrupt);
    life.expect();
    for (const port of ports) port.close();
  }
}

/**
 * Follows one life of the testbed by what its ports say, and kills it when the next word does not come in
 * time.
 */
function watch(qemu, [console, control, output, results], { deadlineMs, onOutput, onResults }) {
  let timer;
  let standstill;
  const life = { code: undefined, isReady: false, stoodStill: false, problem: undefined, console: '' };
  life.kill = (problem) => {
    life.problem ??= problem;
    qemu.kill('SIGKILL');
  };
  life.stand = () => {
    life.stoodStill = true;
    life.kill(`the testbed gave no sign of life for ${STANDSTILL_MS / 1000} s`);
  };
  life.expect = (what, ms) => {
    clearTimeout(timer);
    clearTimeout(standstill);
    if (what !== undefined) timer = setTimeout(life.kill, ms, `${what} did not come within ${ms / 1000} s`);
  };
  life.expect('the first word of the testbed’s kernel', KERNEL_TIMEOUT_MS);
  console.onData = (data) => {
    if (life.console === '') life.expect('the end of the testbed’s boot', BOOT_TIMEOUT_MS);
    life.console += data;
  };
  output.onData = onOutput;
  results.onData = onResults;
  control.onLine = (line) => {
    if (line === 'ready') {
      life.isReady = true;
      life.expect('the end of the job', deadlineMs);
    } else if (line === 'alive' && life.code === undefined) {
      clearTimeout(standstill);
      standstill = setTimeout(life.stand, STANDSTILL_MS);
    } else if (line.startsWith('exit ')) {
      life.code = Number(line.slice(5));
      life.expect('the end of the testbed', POWER_OFF_TIMEOUT_MS);
    }
  };
  return life;
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
  const [console, ...ports] = PORTS;
  return [
    // Emulated, since what is wanted is the one thing that the host's KVM may not have: SVM for the guest.
    ...['-M', 'microvm,acpi=on,rtc=on', '-accel', 'tcg,thread=multi,tb-size=1024', '-cpu', 'max'],
    ...['-m', `${MEMORY_MIB}`, '-smp', '2', '-nodefaults', '-no-user-config', '-nographic', '-no-reboot'],
    ...['-kernel', system.kernel, '-initrd', system.initrd, '-append', kernelArguments()],
    ...['-chardev', `socket,id=${console},path=${join(folder, console)}`, '-serial', `chardev:${console}`],
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
  // Without the hint about one boot in ten hangs while the kernel calibrates its clock against an emulated
  // timer.
  const mhz = /^cpu MHz\s*: ([\d.]+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '2000';
  return [
    ...['console=ttyS0', 'quiet', 'reboot=t', 'panic=-1', 'mitigations=off', 'cgroup_no_v1=all'],
    ...['cryptomgr.notests', 'random.trust_cpu=on', `tsc_early_khz=${Math.round(Number(mhz) * 1000)}`],
  ].join(' ');
}

function consoleTail(text) {
  return `end of its console:\n${text.split('\n').slice(-30).join('\n')}`;
}
