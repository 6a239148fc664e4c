const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\',
  '"': '"',
  a: '\x07',
  b: '\b',
  e: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Backslashes as `echo -e` and `printf` have them; `\c` ends it all. */
export function unescape(text: string, isFormat = false): { readonly text: string; readonly isEnd: boolean } {
  let isEnd = false;
  const pattern = isFormat
    ? /\\(x[\dA-Fa-f]{1,2}|[0-7]{1,3}|[^])/g
    : /\\(c[^]*|x[\dA-Fa-f]{1,2}|0[0-7]{0,3}|[1-7][0-7]{0,2}|[^])/g;
  const shown = text.replace(pattern, (whole, code: string) => {
    if (code.startsWith('c')) {
      isEnd = true;
      return '';
    }
    if (/^x[\dA-Fa-f]/.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 0xff);
    return ESCAPES[code] ?? whole;
  });
  return { text: shown, isEnd };
}

const DIRECTIVE = /%(%|([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d+))?[hlLjzt]*([a-zA-Z]))/g;
const MOST_COLUMNS = 1 << 16;

/** The output of `printf`: the format as often as the arguments need it. */
export function formatArguments(
  format: string,
  args: readonly string[],
): { readonly text: string; readonly problem: string | undefined } {
  const left = [...args];
  let problem: string | undefined;
  let text = '';
  const columns = (given: string | undefined): number | undefined => {
    const value = given === '*' ? Number(left.shift() ?? 0) : given === undefined ? undefined : Number(given);
    return value === undefined ? undefined : Math.min(value, MOST_COLUMNS);
  };
  const number = (given: string): number => {
    if (/^['"]/.test(given)) return given.codePointAt(1) ?? 0;
    const value =
      given.trim() === '' ? 0 : Number(/^-?0[0-7]+$/.test(given) ? Number.parseInt(given, 8) : given);
    if (!Number.isFinite(value)) problem ??= `invalid number '${given}'`;
    return Number.isFinite(value) ? value : 0;
  };
  do {
    const before = left.length;
    let isEnd = false;
    for (const [piece, isDirective] of piecesOf(format)) {
      if (isEnd) break;
      if (!isDirective) {
        text += unescape(piece, true).text;
        continue;
      }
      const [, , flags = '', width, precision, letter = '%'] = new RegExp(DIRECTIVE.source).exec(piece) ?? [];
      if (piece === '%%') {
        text += '%';
        continue;
      }
      const field = { flags, width: columns(width), precision: columns(precision) };
      const shown = convert(letter, left.shift() ?? '', { ...field, number });
      if (shown === undefined) return { text, problem: `invalid directive ${piece}` };
      isEnd = shown.isEnd;
      text += shown.text;
    }
    if (isEnd || left.length === before) break;
  } while (left.length > 0);
  return { text, problem };
}

function* piecesOf(format: string): Generator<readonly [piece: string, isDirective: boolean]> {
  let from = 0;
  for (const match of format.matchAll(DIRECTIVE)) {
    if (match.index > from) yield [format.slice(from, match.index), false];
    yield [match[0], true];
    from = match.index + match[0].length;
  }
  if (from < format.length) yield [format.slice(from), false];
}

interface FieldFacts {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly number: (text: string) => number;
}

const INTEGERS = 'diuxXo';
const MOST_PLACES = 100;

function convert(
  letter: string,
  value: string,
  field: FieldFacts,
): { readonly text: string; readonly isEnd: boolean } | undefined {
  const { precision } = field;
  if (letter === 's') return { text: padded(value.slice(0, precision), field), isEnd: false };
  if (letter === 'c') return { text: padded(value.slice(0, 1), field), isEnd: false };
  if (letter === 'b') {
    const { text, isEnd } = unescape(value);
    return { text: padded(text, field), isEnd };
  }
  const text = INTEGERS.includes(letter)
    ? integerText(letter, value, field)
    : floatText(letter, value, field);
  if (text === undefined) return undefined;
  const hasZeros = field.flags.includes('0') && !field.flags.includes('-');
  const isZeroPadded = hasZeros && !(INTEGERS.includes(letter) && precision !== undefined);
  if (!isZeroPadded) return { text: padded(text, field), isEnd: false };
  const [, sign = '', digits = ''] = /^([-+ ]?)([^]*)$/.exec(text) ?? [];
  return { text: sign + digits.padStart((field.width ?? 0) - sign.length, '0'), isEnd: false };
}

function padded(text: string, { flags, width = 0 }: FieldFacts): string {
  return flags.includes('-') ? text.padEnd(width) : text.padStart(width);
}

function signed(amount: number, text: string, { flags }: FieldFacts): string {
  if (amount < 0) return `-${text}`;
  return flags.includes('+') ? `+${text}` : flags.includes(' ') ? ` ${text}` : text;
}

function integerText(letter: string, value: string, field: FieldFacts): string {
  const { precision = 0, flags, number } = field;
  const whole = Math.trunc(number(value));
  if (letter === 'u') return String(whole);
  if (letter === 'd' || letter === 'i') {
    return signed(whole, String(Math.abs(whole)).padStart(precision, '0'), field);
  }
  const digits = BigInt.asUintN(64, BigInt(whole)).toString(letter === 'o' ? 8 : 16);
  const prefix = flags.includes('#') ? (letter === 'o' ? '0' : '0x') : '';
  const text = prefix + digits.padStart(precision, '0');
  return letter === 'X' ? text.toUpperCase() : text;
}

function floatText(letter: string, value: string, field: FieldFacts): string | undefined {
  const amount = field.number(value);
  const places = Math.min(field.precision ?? 6, MOST_PLACES);
  if (letter === 'f' || letter === 'F') return signed(amount, Math.abs(amount).toFixed(places), field);
  if (letter === 'e') return amount.toExponential(places).replace(/e([+-])(\d)$/, 'e$10$2');
  return letter === 'g' ? String(Number(amount.toPrecision(Math.max(places, 1)))) : undefined;
}
