/** True for a file that a shell executes. */
export function isShell(path, text) {
  return path.endsWith('.sh') || /^#!.*\b(ba|da)?sh\b/.test(text);
}

/** Commands in a piece of shell text that signal a group, everything, or whatever has some name. */
export function shellGroupKills(text) {
  const found = [...text.matchAll(/(?<![\w.’/-])(pkill|killall5?|skill)(?=\s+[-\w"'$])/g)].map(
    ([, program]) => program,
  );
  for (const [command] of text.matchAll(/(?<![\w.’-])kill\s+[^;&|)`\n]*/g)) {
    if (namesGroup(command.trim().split(/\s+/).slice(1))) found.push(command.trim());
  }
  return found;
}

/**
 * Whether the arguments of kill(1) hold a group: the first word with a dash is the signal, each later one is
 * a group.
 */
function namesGroup(words) {
  const targets = [...words];
  if (targets[0] === '-s' || targets[0] === '-n') targets.splice(0, 2);
  else if (targets[0]?.startsWith('-') && targets[0] !== '--') targets.shift();
  if (targets[0] === '--') targets.shift();
  return targets.some((word) => /^["']?(-["'$\d{]|0["']?$)/.test(word));
}
