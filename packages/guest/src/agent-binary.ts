import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Path of the agent's static binary (linux-x64) that belongs to this package. Throws an `Error` that says what to do when it was
 * not built.
 */
export function agentBinaryPath(): string {
  const shipped = fileURLToPath(new URL('../agent/linux-x64/microvm-agent', import.meta.url));
  const built = fileURLToPath(new URL('../../../native/build/Release/microvm-agent', import.meta.url));
  const found = [shipped, built].find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Error(
    `find the guest agent: neither "${shipped}" nor "${built}" exists; in a checkout run \`npm run build\`, else reinstall @microvm/guest`,
  );
}
