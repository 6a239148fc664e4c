/** How many characters of one text of a VMM or a guest an error or a record keeps. */
export const PRINTABLE_LENGTH = 2048;

// Whatever a terminal acts on or hides: control characters, separators of lines and paragraphs, marks of the
// writing direction, characters without width, halves of surrogate pairs.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu;
const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * VMM and guest may be hostile, so no text of theirs enters an error, a record or a log as it came. Answers
 * the text with every unprintable character escaped, such as `\n` or `\x1b`, and cut to `maxLength`
 * characters.
 */
export function printable(text: string, maxLength = PRINTABLE_LENGTH): string {
  const escaped = text.slice(0, maxLength).replace(UNPRINTABLE, escapeCharacter);
  return cutText(text.length > maxLength ? `${escaped}…` : escaped, maxLength);
}

/**
 * The text itself, or of a longer one so much of its beginning that it has `maxLength` characters with an
 * ellipsis.
 */
export function cutText(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`;
}

function escapeCharacter(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return NAMED[character] ?? (code < 0x100 ? `\\x${hex(code, 2)}` : `\\u{${hex(code, 4)}}`);
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
