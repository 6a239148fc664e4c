import { isAbsolute } from 'node:path';
import { bootByHand, readCommand, type HandCommand } from '../by-hand/qemu.js';
import type { BenchRun, Dimension, Measurement } from '../dimension.js';
import { interleave, timeMs } from '../interleave.js';
import { QemuBench } from '../qemu-bench.js';

const MEM_SIZE_MIB = 128;

/** The command line of a VM that runs, and the disk that it names, which a start by hand needs as well. */
async function learnCommand(bench: QemuBench): Promise<HandCommand> {
  const vm = await bench.boot();
  const { vmm, vmId, spec } = await bench.view(vm);
  if (vmm === undefined) throw new Error(`VM "${vmId}" has no process`);
  const { file, args } = await readCommand(vmm.pid);
  await bench.destroy(vm);
  const named = args.flatMap((arg) => /"filename":"([^"]+)"/.exec(arg)?.[1] ?? []);
  const own = named.filter((name) => !isAbsolute(name));
  const source = spec.rootDrive?.path;
  if (own.length > 1 || (own.length === 1 && source === undefined)) {
    throw new Error(`cannot make by hand what the command line names: ${own.join(', ')}`);
  }
  return { file, args, disks: own.map((name) => ({ name, source: source ?? '' })) };
}

async function bootRows({ quick, log }: BenchRun): Promise<readonly Measurement[]> {
  await using bench = await QemuBench.open({ memSizeMib: MEM_SIZE_MIB });
  const command = await learnCommand(bench);
  const pairs = quick ? 2 : 10;
  const samples = await interleave(
    async () => {
      let vm = '';
      const tookMs = await timeMs(async () => (vm = await bench.bootToExec()));
      await bench.destroy(vm);
      return tookMs;
    },
    () => bootByHand(command, bench.probeCommand),
    { pairs, warmups: quick ? 0 : 1, onPair: (done, total) => log(`boot: pair ${done} of ${total}`) },
  );
  return [
    {
      name: 'boot to first exec',
      unit: 'ms',
      ours: { label: 'create, start, exec by the runtime', samples: samples.ours },
      theirs: { label: 'the same QEMU by hand, raw agent', samples: samples.theirs },
      aim: { kind: 'ratio', atMost: 1.15 },
      parameters: {
        memSizeMib: MEM_SIZE_MIB,
        pairs,
        disks: command.disks.length,
        qemuArguments: command.args.join(' '),
      },
    },
  ];
}

export const boot: Dimension = {
  name: 'boot',
  description: 'Cold boot to the first command’s exit code, against the same QEMU command line by hand.',
  needsQemu: true,
  run: bootRows,
};
