import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMicrovm, type Microvm, type Vm } from '../src/index.js';

const PAGE = readFileSync(new URL('../../../docs/guest.md', import.meta.url), 'utf8');

interface Example {
  /** The heading above it. */
  readonly title: string;
  readonly code: string;
  readonly prints: readonly string[];
}

/** The examples that can be run, each with what it says that it prints. */
function examplesIn(page: string): Example[] {
  let title = '';
  const found: Example[] = [];
  for (const [, heading, code] of page.matchAll(/^#+ (.*)$|^```js\n([^]*?)^```$/gm)) {
    if (heading !== undefined) title = heading;
    if (code === undefined) continue;
    const prints = [...code.matchAll(/\/\/ prints: (.*)$/gm)].map(([, text = '']) => text);
    found.push({ title, code, prints });
  }
  return found;
}

/** Runs it, and answers the lines that it has printed. */
async function run(code: string, vm: Vm): Promise<string[]> {
  const lines: string[] = [];
  const log = (...values: unknown[]): void => {
    lines.push(...values.map(String).join(' ').trimEnd().split('\n'));
  };
  const source = `export default async (vm, console) => {\n${code}\n};`;
  const module = (await import(`data:text/javascript,${encodeURIComponent(source)}`)) as {
    default: (vm: Vm, console: { log: typeof log }) => Promise<void>;
  };
  await module.default(vm, { log });
  return lines;
}

const EXAMPLES = examplesIn(PAGE);

describe('docs/guest.md', () => {
  it('has examples, each of which says what it prints', () => {
    expect(EXAMPLES.length).toBeGreaterThan(4);
    for (const { title, prints } of EXAMPLES) expect(prints, title).not.toEqual([]);
  });
});

describe.each(['qemu', 'in-memory'] as const)('docs/guest.md, on %s', (driver) => {
  let microvm: Microvm;
  let vm: Vm;

  beforeAll(async () => {
    microvm = createMicrovm({ driver });
    vm = await microvm.create();
  });

  afterAll(async () => {
    await vm.destroy();
    await microvm.close();
  });

  it.each(EXAMPLES)('says what its example prints: $title', async ({ code, prints }) => {
    expect(await run(code, vm)).toEqual(prints);
  });
});
