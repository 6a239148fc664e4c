import type { KvmReport } from '@microvm/native';
import { isVmRuntimeError, VmRuntimeError, type HostFinding, type HostReport } from '@microvm/runtime';

/** The findings on a host that is not x86-64; none on x86-64. */
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
 * The findings of the KVM probe as findings of a driver. The caller chooses their severity, because some
 * drivers can do without KVM.
 */
export function kvmFindings(kvm: KvmReport, severity: HostFinding['severity']): HostFinding[] {
  return kvm.findings.map((finding) => ({ ...finding, severity }));
}

/**
 * Turns what the system refuses during a look at the host into `MICROVM_HOST_FAILURE`, because such an error
 * says nothing about what the host can do.
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

/**
 * The error for a caller whose host cannot run VMs: `MICROVM_HOST_UNSUPPORTED` with all that is in the way.
 */
export function hostUnsupported(operation: string, report: HostReport): VmRuntimeError {
  const errors = report.findings.filter(({ severity }) => severity === 'error');
  const problems = errors.map(({ message }) => message).join('; ');
  const remedies = errors.map(({ remedy }) => remedy).filter((remedy) => remedy !== undefined);
  return new VmRuntimeError('MICROVM_HOST_UNSUPPORTED', `${operation}: ${problems}`, {
    details: { findings: errors.map(({ code }) => code) },
    ...(remedies.length === 0 ? {} : { remedy: remedies.join('; ') }),
  });
}
