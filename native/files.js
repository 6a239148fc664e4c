import { constants } from 'node:fs';
import { abortable, absolute, claimed, invalid, object, unlessAborted } from './calls.js';
import { loadAddon } from './load.js';

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = constants;

/** As of `fs.open`. */
const OPEN_FLAGS = {
  r: O_RDONLY,
  'r+': O_RDWR,
  w: O_WRONLY | O_CREAT | O_TRUNC,
  wx: O_WRONLY | O_CREAT | O_EXCL,
  'w+': O_RDWR | O_CREAT | O_TRUNC,
  'wx+': O_RDWR | O_CREAT | O_EXCL,
  a: O_WRONLY | O_CREAT | O_APPEND,
  ax: O_WRONLY | O_CREAT | O_EXCL | O_APPEND,
  'a+': O_RDWR | O_CREAT | O_APPEND,
  'ax+': O_RDWR | O_CREAT | O_EXCL | O_APPEND,
};

function openFlags(flags) {
  if (typeof flags !== 'string') return flags;
  if (Object.hasOwn(OPEN_FLAGS, flags)) return OPEN_FLAGS[flags];
  throw invalid('flags', `one of ${Object.keys(OPEN_FLAGS).join(', ')}, or a number`);
}

export function copyFile(from, to, copyOptions = {}) {
  const { signal, ...options } = object(copyOptions, 'options');
  const paths = [absolute(from, 'from'), absolute(to, 'to')];
  return abortable(signal, () => loadAddon().copyFile(...paths, options));
}

export function putDurable(source, target, putOptions = {}) {
  const { signal, ...options } = object(putOptions, 'options');
  const { data, copy: copied, move } = object(source, 'source');
  const request = {
    ...(data === undefined ? {} : { data }),
    ...(copied === undefined ? {} : { copy: absolute(copied, 'source.copy') }),
    ...(move === undefined ? {} : { move: absolute(move, 'source.move') }),
  };
  const path = absolute(target, 'target');
  return abortable(signal, () => loadAddon().putDurable(request, path, options));
}

export function digestFile(path, options = {}) {
  const { signal, ...rest } = object(options, 'options');
  const file = absolute(path, 'path');
  return abortable(signal, () => loadAddon().digestFile(file, rest));
}

/** A list of the plan with the path of each file's origin as the kernel will see it. */
function withOrigins(list, name) {
  if (!Array.isArray(list)) return list;
  return list.map((file, index) => {
    const { from } = object(file, `plan.${name}[${index}]`);
    const origin = from === undefined ? undefined : absolute(from, `plan.${name}[${index}].from`);
    return origin === from ? file : { ...file, from: origin };
  });
}

export function stageJail(plan, options = {}) {
  const { signal } = object(options, 'options');
  const { root, shared, private: own, ...rest } = object(plan, 'plan');
  const resolved = {
    ...rest,
    root: absolute(root, 'plan.root'),
    shared: withOrigins(shared, 'shared'),
    private: withOrigins(own, 'private'),
  };
  return abortable(signal, () => loadAddon().stageJail(resolved));
}

export function openBeneath(root, name, options = {}) {
  const { flags = 'r', mode = 0o600, signal } = object(options, 'options');
  const folder = absolute(root, 'root');
  const bits = openFlags(flags);
  const opened = abortable(signal, () => loadAddon().openBeneath(folder, name, bits, mode));
  return opened.then(({ id, fd }) => claimed(id, fd));
}

export function removeTree(root, options = {}) {
  const { signal } = object(options, 'options');
  const folder = absolute(root, 'root');
  return abortable(signal, () => loadAddon().removeTree(folder));
}

export function discardFront(path, keepBytes, options = {}) {
  const { signal } = object(options, 'options');
  const file = absolute(path, 'path');
  return unlessAborted(signal, () => loadAddon().discardFront(file, keepBytes));
}
