import { findProgram, outputOfProgram } from '@microvm/driver-kit';
import { fakeFirecrackerPath, fakeJailerPath } from '@microvm/fake-firecracker';

/** The programs that VMs run on. */
export interface FirecrackerPrograms {
  readonly firecrackerPath: string;
  readonly jailerPath: string;
  /** What they are, for the record. */
  readonly version: string;
}

/** The real ones, as a runtime looks them up; else the doubles. */
export async function findFirecracker(): Promise<FirecrackerPrograms> {
  const { PATH = '', MICROVM_FIRECRACKER_BIN = 'firecracker', MICROVM_JAILER_BIN = 'jailer' } = process.env;
  const firecrackerPath = await findProgram(MICROVM_FIRECRACKER_BIN, PATH);
  const jailerPath = await findProgram(MICROVM_JAILER_BIN, PATH);
  if (firecrackerPath === undefined || jailerPath === undefined) return doubles();
  const [version = ''] = (await outputOfProgram(firecrackerPath, ['--version']))?.split('\n') ?? [];
  return { firecrackerPath, jailerPath, version };
}

/** Small processes that answer as Firecracker does: a thousand of them fit on any machine. */
export function doubles(): FirecrackerPrograms {
  return { firecrackerPath: fakeFirecrackerPath(), jailerPath: fakeJailerPath(), version: 'doubles' };
}
