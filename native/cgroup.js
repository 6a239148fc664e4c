import { abortable, absolute, invalid, object } from './calls.js';
import { loadAddon } from './load.js';

const KILL_TIMEOUT_MS = 10_000;

/** `memory.max` and the like: the name of a control file, never a path. */
const CONTROL_FILE = /^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)+$/;

/** One line is one write: the kernel takes one device at a time in `io.max`. */
function writes(limits) {
  return Object.entries(object(limits, 'limits')).flatMap(([file, value]) => {
    if (!CONTROL_FILE.test(file)) throw invalid(`limits.${file}`, 'a control file such as memory.max');
    if (value === undefined) return [];
    const lines = Array.isArray(value) ? value : [value];
    return lines.map((line) => [file, text(line, `limits.${file}`)]);
  });
}

function text(value, name) {
  if (Number.isSafeInteger(value) && value >= 0) return String(value);
  if (typeof value === 'string' && value !== '' && !/[\n\0]/.test(value)) return value;
  throw invalid(name, 'an integer from 0, a line of text or an array of these');
}

export function createCgroup(path, options = {}) {
  const { limits = {}, signal } = object(options, 'options');
  const folder = absolute(path, 'path');
  const lines = writes(limits);
  const columns = [lines.map(([file]) => file), lines.map(([, value]) => value)];
  return abortable(signal, () => loadAddon().createCgroup(folder, ...columns));
}

export function killCgroup(path, options = {}) {
  const { timeoutMs = KILL_TIMEOUT_MS, signal } = object(options, 'options');
  const folder = absolute(path, 'path');
  return abortable(signal, () => loadAddon().killCgroup(folder, timeoutMs));
}
