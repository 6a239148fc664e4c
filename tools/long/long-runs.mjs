const FUZZ_MINUTES = 10;
const FUZZ_SECONDS = String(FUZZ_MINUTES * 60);

/**
 * The longer forms of what the gate runs, by name: what for, how long on two quiet processors, and the
 * commands, from the root of the repository, with what their environment has beside that of the caller.
 *
 * @typedef {{ about: string, minutes: number, commands: string[][], env?: Record<string, string> }} LongRun
 * @type {Record<string, LongRun>}
 */
export const LONG_RUNS = {
  'busy-gate': {
    about: 'the whole gate while every processor is kept busy: slower, never red',
    minutes: 60,
    commands: [['node', 'tools/long/busy.mjs', 'npm', 'test']],
  },
  fresh: {
    about: "both of the README's commands in a bare root",
    minutes: 45,
    commands: [['npm', 'run', 'fresh']],
  },
  'fuzz-native': {
    about: 'the decoders of the addon and of the agent: netlink, vsock, layers of images, frames',
    minutes: 10 * FUZZ_MINUTES,
    commands: [['npm', 'run', 'fuzz', '-w', 'native', '--', FUZZ_SECONDS]],
  },
  'fuzz-agent': {
    about: "the agent's frame decoder",
    minutes: FUZZ_MINUTES,
    commands: [
      [
        ...['cmake', '-S', 'native', '-B', 'native/build/fuzz', '-G', 'Ninja'],
        ...['-DCMAKE_CXX_COMPILER=clang++', '-DNATIVE_FUZZ=ON'],
      ],
      ['cmake', '--build', 'native/build/fuzz', '--target', 'agent_decoder_fuzz'],
      ['native/build/fuzz/agent/agent_decoder_fuzz', `-max_total_time=${FUZZ_SECONDS}`, '-max_len=8192'],
    ],
  },
  'fuzz-double': {
    about: "the Firecracker double's requests",
    minutes: 1,
    commands: [['npm', 'run', 'fuzz', '-w', '@microvm/fake-firecracker']],
  },
  'protocol-model': {
    about: "the guest's protocol against its model: random calls, cuts, snapshots and restores",
    minutes: 60,
    commands: [['node', 'node_modules/vitest/vitest.mjs', 'run', 'protocol-model.test']],
    env: { MICROVM_PROTOCOL_MODEL_MINUTES: '60' },
  },
  'power-cuts': {
    about: 'every cut of the power: each step of each verb, on ext4 and XFS',
    minutes: 10,
    commands: [['node', 'node_modules/vitest/vitest.mjs', 'run', 'power-cuts.test']],
    env: { MICROVM_POWER_CUTS: 'all' },
  },
  'image-kills': {
    about: 'rounds of import, use, release and collection of images, with kills at random',
    minutes: 15,
    commands: [
      ['node', 'node_modules/vitest/vitest.mjs', 'run', '--project', '@microvm/image', 'kills.test'],
    ],
    env: { MICROVM_IMAGE_KILLS: '1000' },
  },
  testbed: {
    about: 'all tests of the Firecracker driver on the real binaries, on an emulated host',
    minutes: 180,
    commands: [['npm', 'run', 'testbed', '--', '--minutes', '240']],
  },
  bench: {
    about: 'all measurements; fails when a row is short',
    minutes: 30,
    commands: [['npm', 'run', 'bench', '--', '--strict']],
  },
};

/** A line for each run. */
export function describeRuns(runs = LONG_RUNS) {
  const width = Math.max(...Object.keys(runs).map((name) => name.length));
  return Object.entries(runs)
    .map(([name, { about, minutes }]) => `  ${name.padEnd(width)}  ${about} (about ${minutes} min)`)
    .join('\n');
}
