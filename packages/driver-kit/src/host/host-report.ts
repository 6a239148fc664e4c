import type { KvmReport } from '@microvm/native';
import { isVmRuntimeError, VmRuntimeError, type HostFinding, type HostReport } from '@microvm/runtime';

/** What keeps a driver for x86-64 machines from this host: nothing on x86-64. */
export function architectureFindings(): HostFinding[] {
  if (process.arch === 'x64') return [];
  return [
    {
      code: 'architecture-unsupported',
      severity: 'error',
      message: `this host is ${process.arch}; the driver's machine is x86-64`,
    },
  ];
}

/**
 * What the probe found about KVM, as findings of a driver: how bad that is depends on whether it can do
 * without.
 */
export function kvmFindings(kvm: KvmReport, severity: HostFinding['severity']): HostFinding[] {
  return kvm.findings.map((finding) => ({ ...finding, severity }));
}

/**
 * What the system refuses while the host is looked at says nothing about the host's abilities:
 * `MICROVM_HOST_FAILURE`.
 */
export async function orHostFailure<T>(look: Promise<T>): Promise<T> {
  try {
    return await look;
  } catch (cause) {
    if (isVmRuntimeError(cause)) throw cause;
    const operation = 'look at the host';
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new VmRuntimeError('MICROVM_HOST_FAILURE', `${operation}: ${message}`, {
      details: code === undefined ? { operation } : { operation, errno: code },
      cause,
    });
  }
}

/** What the caller gets whose host cannot run VMs: `MICROVM_HOST_UNSUPPORTED` with all that is in the way. */
export function hostUnsupported(operation: string, report: HostReport): VmRuntimeError {
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  const problems = errors.map(({ message }) => message).join('; ');
  const remedies = errors.map(({ remedy }) => remedy).filter((remedy) => remedy !== undefined);
  return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `${operation}: ${problems}`, {
    details: { findings: errors.map(({ code }) => code) },
    ...(remedies.length === 0 ? {} : { remedy: remedies.join('; ') }),
  });
}
