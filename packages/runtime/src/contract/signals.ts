import { invalidArgument } from './errors.js';

/** Linux's numbers (x86 and arm64): the guest's, whatever the host is. */
const NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
};

const NAMES = new Map(Object.entries(NUMBERS).map(([name, number]) => [number, name]));

/** The guest's number of a signal, or undefined for a name that Linux does not have. */
export function signalNumber(name: string): number | undefined {
  return Object.hasOwn(NUMBERS, name) ? NUMBERS[name] : undefined;
}

/** What the kernel's users call the first real-time signal: glibc and musl keep those before it. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** A signal as an image's STOPSIGNAL names it: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`, `SIGRTMAX-1`. */
export function stopSignalNumber(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) return inRange(Number(text));
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG');
  const [, base, offset] = /^SIGRT(MIN|MAX)([+-]\d{1,2})?$/.exec(name) ?? [];
  if (base === undefined) return signalNumber(name);
  const number = (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + Number(offset ?? 0);
  return number < SIGRTMIN ? undefined : inRange(number);
}

function inRange(number: number): number | undefined {
  return number >= 1 && number <= SIGRTMAX ? number : undefined;
}

/** A name that `stopSignalNumber` reads. */
export function stopSignalName(number: number): string {
  const realTime = number === SIGRTMIN ? 'SIGRTMIN' : `SIGRTMIN+${number - SIGRTMIN}`;
  return NAMES.get(number) ?? (number < SIGRTMIN ? String(number) : realTime);
}

/** The same; throws `MICROVM_INVALID_ARGUMENT` for such a name. */
export function requireSignal(name: string): number {
  const number = signalNumber(name);
  if (number === undefined) throw invalidArgument('signal', 'the name of a Linux signal');
  return number;
}

export function signalName(number: number): string {
  return NAMES.get(number) ?? `SIGRT${number}`;
}

/** Signals that end no process by default. */
const HARMLESS: ReadonlySet<string> = new Set([
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGWINCH',
]);

/** Whether a signal ends a process that does not handle it. */
export function endsByDefault(name: string): boolean {
  return !HARMLESS.has(name);
}
