import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fakeFirecrackerPath } from '../src/index.js';
import { realFirecracker } from './drift/real-binaries.js';
import { converse, formatConversations, parseConversations } from './drift/script.js';

const FOLDER = new URL('./recorded/', import.meta.url);
// The record is made by the real one: `MICROVM_RECORD=1 npx vitest run --project @microvm/fake-firecracker
// drift`.
const isRecording = process.env['MICROVM_RECORD'] === '1';

async function inFolder(program: string, lines: readonly string[]): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'microvm-drift-'));
  try {
    return await converse(program, directory, lines);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const names = (await readdir(FOLDER)).filter((name) => name.startsWith('api-'));

for (const name of names) {
  const path = new URL(name, FOLDER);
  const conversations = parseConversations(await readFile(path, 'utf8'));

  describe.skipIf(isRecording)(`the double answers as recorded: ${name}`, () => {
    test.each(conversations)('$title', async ({ lines }) => {
      expect(await inFolder(fakeFirecrackerPath(), lines)).toEqual(lines);
    });
  });

  describe.skipIf(realFirecracker === undefined || isRecording)(
    `the real one answers as recorded: ${name}`,
    () => {
      test.each(conversations)('$title', async ({ lines }) => {
        expect(await inFolder(realFirecracker ?? '', lines)).toEqual(lines);
      });
    },
  );

  test.runIf(isRecording)(`recording ${name}`, async () => {
    if (realFirecracker === undefined) throw new Error('there is no real Firecracker to record');
    const recorded = [];
    for (const { title, lines } of conversations) {
      recorded.push({ title, lines: await inFolder(realFirecracker, lines) });
    }
    await writeFile(path, formatConversations(recorded));
  });
}
