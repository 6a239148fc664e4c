#!/usr/bin/env node
// Builds the fuzz targets and runs each for some seconds: npm run fuzz -w native [-- SECONDS]. Says so when
// there is no clang.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = fileURLToPath(new URL('..', import.meta.url));
const build = join(native, 'build/fuzz');
const CLANGS = ['clang++', ...[14, 15, 16, 17, 18, 19, 20].map((version) => `clang++-${version}`)];
/** Each with its corpus in the tree. */
const TARGETS = {
  'fuzz/netlink_fuzz': 'fuzz/corpus/netlink',
  'fuzz/image_archive_fuzz': 'fuzz/corpus/image-archive',
  'fuzz/image_merge_fuzz': 'fuzz/corpus/image-merge',
  'fuzz/vsock_reply_fuzz': 'fuzz/corpus/vsock-reply',
  'agent/agent_accounts_fuzz': 'fuzz/corpus/accounts',
  'agent/agent_connect_request_fuzz': 'fuzz/corpus/connect-request',
  'agent/agent_exec_request_fuzz': 'fuzz/corpus/exec-request',
  'agent/agent_file_request_fuzz': 'fuzz/corpus/file-request',
  'agent/agent_image_config_fuzz': 'fuzz/corpus/image-config',
  'agent/agent_tree_receiver_fuzz': 'fuzz/corpus/tree-receiver',
};
const DEFAULT_SECONDS = 10;

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: native, stdio: 'inherit' });
  if (status !== 0) throw error ?? new Error(`${command} failed with ${status}`);
}

const compiler = CLANGS.find((name) => spawnSync(name, ['--version']).status === 0);
const seconds = Number(process.argv[2] ?? DEFAULT_SECONDS);
if (!Number.isInteger(seconds) || seconds < 1) throw new TypeError('SECONDS must be a positive integer');
if (compiler === undefined) {
  console.log('skipped: the fuzz targets need clang++ (sudo apt-get install clang)');
} else {
  const options = [`-DCMAKE_CXX_COMPILER=${compiler}`, '-DNATIVE_FUZZ=ON'];
  run('cmake', ['-S', native, '-B', build, '-G', 'Ninja', ...options]);
  for (const [path, seeds] of Object.entries(TARGETS)) {
    const target = basename(path);
    run('cmake', ['--build', build, '--target', target]);
    const corpus = join(build, 'corpus', target);
    mkdirSync(corpus, { recursive: true });
    const limits = [`-max_total_time=${seconds}`, '-max_len=8192', `-artifact_prefix=${build}/`];
    run(join(build, path), [...limits, corpus, join(native, seeds)]);
  }
}
