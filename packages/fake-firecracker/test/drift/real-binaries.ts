import { existsSync } from 'node:fs';

function found(variable: string, name: string): string | undefined {
  const path = process.env[variable] ?? `/usr/local/bin/${name}`;
  if (existsSync(path)) return path;
  console.warn(
    `SKIPPED: comparing with the real ${name}: there is none at ${path} (${variable} names another)`,
  );
  return undefined;
}

/** The real programs that the doubles are compared with, where there are any. */
export const realFirecracker = found('MICROVM_FIRECRACKER_BIN', 'firecracker');
export const realJailer = found('MICROVM_JAILER_BIN', 'jailer');
