import { abortable, absolute, invalid, object } from './calls.js';
import { loadAddon } from './load.js';

export function probeHost(options = {}) {
  const { paths = [], signal } = object(options, 'options');
  if (!Array.isArray(paths)) throw invalid('paths', 'an array of paths');
  const folders = paths.map((path, index) => absolute(path, `paths[${index}]`));
  return abortable(signal, () => loadAddon().probeHost(folders));
}
