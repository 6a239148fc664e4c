// The agent is built with the addon; a published package carries its own copy.
import { chmodSync, copyFileSync, mkdirSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const from = fileURLToPath(new URL('../../../native/build/Release/microvm-agent', import.meta.url));
const folder = fileURLToPath(new URL('../agent/linux-x64/', import.meta.url));
mkdirSync(folder, { recursive: true });
// Renamed in: a test that starts the agent meanwhile must find the old or the new one, whole.
const staged = `${folder}.microvm-agent.${process.pid}`;
copyFileSync(from, staged);
chmodSync(staged, 0o755);
renameSync(staged, `${folder}microvm-agent`);
