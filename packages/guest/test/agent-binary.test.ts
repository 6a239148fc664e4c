import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { agentBinaryPath } from '../src/agent-binary.js';

describe('the agent’s binary', () => {
  it('is there, starts without anything of its surroundings, and says its version', () => {
    const { status, stderr } = spawnSync(agentBinaryPath(), ['--version'], { env: {}, encoding: 'utf8' });
    expect(status).toBe(0);
    expect(stderr).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it('is static: it names no interpreter', () => {
    const elf = readFileSync(agentBinaryPath());
    const programHeaders = Number(elf.readBigUInt64LE(32));
    const entrySize = elf.readUInt16LE(54);
    const types = Array.from({ length: elf.readUInt16LE(56) }, (_, index) =>
      elf.readUInt32LE(programHeaders + index * entrySize),
    );
    const loaded = 1;
    const interpreter = 3;
    expect(types).toContain(loaded);
    expect(types).not.toContain(interpreter);
  });

  it('refuses to play init where it is not process 1', () => {
    const { status, stderr } = spawnSync(agentBinaryPath(), [], { encoding: 'utf8' });
    expect(status).toBe(2);
    expect(stderr).toContain('usage');
  });
});
