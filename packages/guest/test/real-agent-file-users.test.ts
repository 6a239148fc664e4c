import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AgentClient } from '../src/client.js';
import { RealAgent, whyNoNamespaces } from './real-agent.js';

const problem = process.getuid?.() === 0 ? whyNoNamespaces() : 'several user ids need root';
if (problem !== undefined) console.warn(`SKIPPED: the users of the real agent's files: ${problem}`);

const ME = 4321;

let agent: RealAgent;
let client: AgentClient;
let dir: string;

describe.skipIf(problem !== undefined)('the files of a real agent as a user', () => {
  beforeEach(async () => {
    agent = new RealAgent(undefined, { isRoot: true });
    client = await AgentClient.connect(agent.port.plug(), { vm: { vmId: 'real' }, timeoutMs: 600_000 });
    dir = mkdtempSync(join(tmpdir(), 'microvm-file-users-'));
    chmodSync(dir, 0o777);
    writeFileSync(join(dir, 'secret'), 'of root', { mode: 0o600 });
    writeFileSync(join(dir, 'public'), 'of root', { mode: 0o644 });
  });

  afterEach(async () => {
    client.close();
    await agent.stop();
    rmSync(dir, { recursive: true });
  });

  it('are what the user may see and change', async () => {
    const { files } = client;
    const user = ME;
    const at = (name: string) => join(dir, name);
    await expect(files.readFile(at('secret'), { user })).rejects.toMatchObject({
      ...{ code: 'EACCES', errno: -13, syscall: 'open', path: at('secret') },
      message: `EACCES: permission denied, open '${at('secret')}'`,
    });
    expect(await files.readFile(at('secret'), 'utf8')).toBe('of root');
    await expect(files.access(at('public'), 2, { user })).rejects.toMatchObject({ code: 'EACCES' });
    await expect(files.writeFile(at('public'), 'x', { user })).rejects.toMatchObject({ code: 'EACCES' });
    // A rename would need a right to the folder alone.
    const atomic = files.writeFile(at('public'), 'x', { user, atomic: true });
    await expect(atomic).rejects.toMatchObject({ code: 'EACCES' });
    await expect(files.chmod(at('public'), 0o777, { user })).rejects.toMatchObject({ code: 'EPERM' });
    await expect(files.chown(at('public'), user, user, { user })).rejects.toMatchObject({ code: 'EPERM' });
    await files.writeFile(at('mine'), 'x', { user });
    await files.mkdir(at('folder'), { user });
    expect([statSync(at('mine')).uid, statSync(at('folder')).gid]).toEqual([ME, ME]);
    await files.chown(at('mine'), 0, 0);
    await expect(files.open(at('mine'), 'r+', 0, { user })).rejects.toMatchObject({ code: 'EACCES' });
    const stream = files.createReadStream(at('secret'), { user });
    const failure = await new Promise((resolve) => stream.once('error', resolve));
    expect(failure).toMatchObject({ code: 'EACCES' });
  });

  it('keep their owner when root replaces them atomically', async () => {
    const path = join(dir, 'mine');
    await client.files.writeFile(path, 'x', { user: ME, mode: 0o640 });
    await client.files.writeFile(path, 'by root', { atomic: true });
    const { uid, gid, mode } = statSync(path);
    expect([uid, gid, mode & 0o777]).toEqual([ME, ME, 0o640]);
  });

  it('are not those of a user that the guest does not know', async () => {
    await expect(client.files.stat('/', { user: 'nobody-here' })).rejects.toMatchObject({
      code: 'MICROVM_EXEC_FAILED',
      details: { step: 'user', errno: 'ENOENT' },
    });
  });
});
