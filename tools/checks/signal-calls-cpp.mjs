import { shellGroupKills } from './signal-calls-shell.mjs';

const CALL = /(?<![\w.>])(?:::|std::)?(kill|killpg|sigqueue|tgkill|tkill)\s*\(/g;
const RAW_CALL = /\bsyscall\s*\(\s*SYS_(kill|tkill|tgkill|rt_sigqueueinfo|rt_tgsigqueueinfo)\b/g;

export function cppSignalCalls(text) {
  const { code, strings } = withoutComments(text);
  const calls = [...code.matchAll(CALL), ...code.matchAll(RAW_CALL)]
    .map((match) => ({ at: match.index, call: wholeCall(code, match.index) }))
    .filter(({ call }) => !isHarmless(call));
  const inStrings = strings.flatMap(({ at, value }) => shellGroupKills(value).map((call) => ({ at, call })));
  return [...calls, ...inStrings]
    .sort((a, b) => a.at - b.at)
    .map(({ at, call }) => ({ line: text.slice(0, at).split('\n').length, call }));
}

function isHarmless(call) {
  return /^(::)?kill\(getpid\(\), [^()]+\)$/.test(call) || /^(::)?kill\([^,]+, 0\)$/.test(call);
}

/** The call that begins at `at`, up to its closing bracket, in one line. */
function wholeCall(code, at) {
  let depth = 0;
  for (let end = code.indexOf('(', at); end < code.length; end += 1) {
    if (code[end] === '(') depth += 1;
    if (code[end] === ')') depth -= 1;
    if (depth === 0) return code.slice(at, end + 1).replace(/\s+/g, ' ');
  }
  return code.slice(at);
}

/**
 * The code with blanks for its comments and for what stands in quotes, at the same places; and what stood in
 * quotes.
 */
function withoutComments(text) {
  const strings = [];
  const blank = (part) => part.replace(/[^\n]/g, ' ');
  const code = text.replace(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'/g,
    (part, at) => {
      if (part.startsWith('"')) strings.push({ at, value: part.slice(1, -1) });
      return blank(part);
    },
  );
  return { code, strings };
}
