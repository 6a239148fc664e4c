import type { HostFinding, HostReport } from '@microvm/runtime';
import { findProgram, outputOfProgram } from './find-program.js';
import { architectureFindings, orHostFailure } from './host-report.js';
import { stateDirFindings } from './state-dir.js';

/** What a driver found out about its host. */
export interface Inspection<Facts> {
  readonly report: HostReport;
  /** Absent when VMs cannot run here. */
  readonly hostFacts?: Facts;
}

/** What one VMM needs of a host. */
export interface HostLook<Facts> {
  readonly accelerator: HostReport['accelerator'];
  /** Undefined where there is no VMM that tells its version. */
  readonly vmm: { readonly version: string; readonly facts: () => Promise<Facts> } | undefined;
}

export interface InspectedDriver {
  readonly driver: string;
  readonly stateDir: string;
}

/**
 * Finds out what VMs get on this host, and what is in the way: what all drivers look at, and in between what
 * `look` adds to the findings. The facts are asked for only where VMs can run. Errors: HOST_FAILURE.
 */
export function inspectHostFor<Facts>(
  { driver, stateDir }: InspectedDriver,
  look: (findings: HostFinding[]) => Promise<HostLook<Facts>>,
): Promise<Inspection<Facts>> {
  const inspect = async (): Promise<Inspection<Facts>> => {
    const findings = architectureFindings();
    const { accelerator, vmm } = await look(findings);
    findings.push(...(await stateDirFindings(stateDir)));
    const usable = findings.every(({ severity }) => severity !== 'error');
    const version = vmm === undefined ? {} : { vmmVersion: vmm.version };
    const report: HostReport = { driver, usable, accelerator, findings, ...version };
    return usable && vmm !== undefined ? { report, hostFacts: await vmm.facts() } : { report };
  };
  return orHostFailure(inspect());
}

export interface WantedProgram<Version> {
  /** A path, or a name to look up in PATH. */
  readonly name: string;
  /** The version in what the program prints for `--version`. */
  readonly versionOf: (text: string) => Version | undefined;
  /** What is found where there is no such program. */
  readonly code: string;
  readonly remedy: string;
}

export interface FoundProgram<Version> {
  readonly path: string;
  readonly version: Version;
}

/**
 * A program with its version. Undefined, and an error among the findings, where it is missing or tells no
 * version.
 */
export async function findVersionedProgram<Version>(
  { name, versionOf, code, remedy }: WantedProgram<Version>,
  findings: HostFinding[],
): Promise<FoundProgram<Version> | undefined> {
  const path = await findProgram(name, process.env['PATH'] ?? '');
  const version =
    path === undefined ? undefined : versionOf((await outputOfProgram(path, ['--version'])) ?? '');
  if (path !== undefined && version !== undefined) return { path, version };
  const message = path === undefined ? `there is no "${name}"` : `"${path}" does not say its version`;
  findings.push({ code, severity: 'error', message, remedy });
  return undefined;
}
