import { copyFile, open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmmProcess } from '../vmm-process.js';

/**
 * A recorded conversation: `# title` begins one, `> METHOD path body` asks, `< …` is what came, `! …`
 * prepares or looks at something. A line of `test/recorded/*.txt` each.
 */
export interface Conversation {
  readonly title: string;
  readonly lines: readonly string[];
}

export function parseConversations(text: string): Conversation[] {
  const conversations: { title: string; lines: string[] }[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) conversations.push({ title: line.slice(2), lines: [] });
    else if (line !== '') conversations.at(-1)?.lines.push(line);
  }
  return conversations;
}

export function formatConversations(conversations: readonly Conversation[]): string {
  return conversations.map(({ title, lines }) => `# ${title}\n${lines.join('\n')}\n`).join('\n');
}

/** `cli; hlt; jmp` at 1 MiB, as the smallest kernel that can be loaded. */
function smallestKernel(): Buffer {
  const kernel = Buffer.alloc(4096);
  Buffer.from('7f454c46020101', 'hex').copy(kernel);
  kernel.writeUInt16LE(2, 16); // executable
  kernel.writeUInt16LE(62, 18); // x86-64
  kernel.writeUInt32LE(1, 20);
  kernel.writeBigUInt64LE(0x100000n, 24); // entry
  kernel.writeBigUInt64LE(64n, 32); // program headers
  kernel.writeUInt16LE(64, 52);
  kernel.writeUInt16LE(56, 54);
  kernel.writeUInt16LE(1, 56);
  kernel.writeUInt32LE(1, 64); // load
  kernel.writeUInt32LE(5, 68);
  kernel.writeBigUInt64LE(1024n, 72);
  kernel.writeBigUInt64LE(0x100000n, 80);
  kernel.writeBigUInt64LE(0x100000n, 88);
  kernel.writeBigUInt64LE(16n, 96);
  kernel.writeBigUInt64LE(16n, 104);
  kernel.writeBigUInt64LE(4096n, 112);
  Buffer.from('faf4ebfd', 'hex').copy(kernel, 1024);
  return kernel;
}

/** Holds a conversation with a program; answers with its lines, as they came this time. */
export async function converse(
  program: string,
  directory: string,
  lines: readonly string[],
): Promise<string[]> {
  const talk = new Talk(program, directory);
  try {
    const heard: string[] = [];
    for (const line of lines) {
      if (line.startsWith('<')) continue;
      heard.push(line, ...(await talk.say(line)));
    }
    return heard;
  } finally {
    await talk.end();
  }
}

class Talk {
  readonly #program: string;
  readonly #directory: string;
  #vmm: VmmProcess | undefined;

  constructor(program: string, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  async end(): Promise<void> {
    await this.#vmm?.kill();
    this.#vmm = undefined;
  }

  /** What is heard after a line. */
  async say(line: string): Promise<string[]> {
    const [kind, first = '', second = '', ...rest] = line.split(' ');
    if (kind === '>') return [await this.#ask(first, second, rest)];
    await this.#prepare(first, second, rest);
    if (first === 'exit') return [`< ${await this.#death()}`];
    if (first === 'ls') return [`< ${(await this.#list()).join(' ')}`];
    return [];
  }

  async #ask(method: string, path: string, rest: readonly string[]): Promise<string> {
    const vmm = await this.#running();
    const body = rest.length === 0 ? undefined : rest.join(' ').replaceAll('\\n', '\n');
    const answer = await vmm.ask(method, path, expand(body)).catch((error: NodeJS.ErrnoException) => error);
    if (answer instanceof Error) return '< no answer';
    const text = answer.body.startsWith('{"fault_message"')
      ? (JSON.parse(answer.body) as { fault_message: string }).fault_message
      : answer.body;
    return `< ${answer.status} ${text}`.trimEnd().replaceAll('\n', '\\n');
  }

  // The real one, when a load fails, ends with code 1, and now and then by SIGABRT while it is at that.
  async #death(): Promise<string> {
    const exit = await this.#vmm?.exited;
    return exit?.code === 1 || exit?.signal === 'SIGABRT' ? 'died' : `exit ${JSON.stringify(exit)}`;
  }

  async #running(): Promise<VmmProcess> {
    if (this.#vmm === undefined) {
      await rm(join(this.#directory, 'api.sock'), { force: true });
      const vmm = new VmmProcess(this.#directory, [
        this.#program,
        '--api-sock',
        'api.sock',
        '--level',
        'Error',
      ]);
      this.#vmm = await vmm.ready();
    }
    return this.#vmm;
  }

  async #prepare(verb: string, name: string, rest: readonly string[]): Promise<void> {
    const path = join(this.#directory, name);
    const [value = '', value2 = ''] = rest;
    switch (verb) {
      case 'file':
        await writeFile(path, Buffer.alloc(Number(value)));
        break;
      case 'text':
        await writeFile(path, rest.join(' '));
        break;
      case 'kernel':
        await writeFile(path, smallestKernel());
        break;
      case 'copy':
        await copyFile(path, join(this.#directory, value));
        break;
      case 'cut':
        await truncate(path, Number(value));
        break;
      case 'put':
        await overwrite(path, Number(value), Buffer.from(value2));
        break;
      case 'remove':
        await rm(path, { force: true });
        break;
      case 'vmm':
        await this.end();
        break;
      default:
    }
  }

  async #list(): Promise<string[]> {
    return (await readdir(this.#directory)).filter((name) => name !== 'api.sock').toSorted();
  }
}

/** `@x*100@` in a body stands for a hundred of them. */
function expand(body: string | undefined): string | undefined {
  return body?.replaceAll(/@(.)\*(\d+)@/g, (_, letter: string, count: string) =>
    letter.repeat(Number(count)),
  );
}

async function overwrite(path: string, offset: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, offset);
  } finally {
    await file.close();
  }
}
