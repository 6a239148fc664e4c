import { describe, expect, it } from 'vitest';
import { cutText, printable, PRINTABLE_LENGTH } from '../src/index.js';

describe('printable', () => {
  it('leaves letters of any script, punctuation and spaces as they are', () => {
    const text = 'Firecracker: "disks/root" (os error 28) – 日本, Ω, 🦀';
    expect(printable(text)).toBe(text);
  });

  it.each([
    ['an escape sequence', 'a\u001b[31mred', 'a\\x1b[31mred'],
    ['line breaks and tabs', 'a\r\nb\tc', 'a\\r\\nb\\tc'],
    ['NUL, DEL and C1', '\u0000\u007f\u009b', '\\x00\\x7f\\x9b'],
    ['marks of the writing direction', 'a\u202eb\u2066c', 'a\\u{202e}b\\u{2066}c'],
    ['separators of lines', 'a\u2028b\u2029', 'a\\u{2028}b\\u{2029}'],
    ['half a character', 'a\ud800b', 'a\\u{d800}b'],
  ])('shows %s instead of passing it on', (_, text, expected) => {
    expect(printable(text)).toBe(expected);
  });

  it('cuts a text that is too long, also where escapes have made it so', () => {
    expect(printable('x'.repeat(PRINTABLE_LENGTH))).toHaveLength(PRINTABLE_LENGTH);
    expect(printable('x'.repeat(PRINTABLE_LENGTH + 1))).toBe(`${'x'.repeat(PRINTABLE_LENGTH - 1)}…`);
    expect(printable('\u0000'.repeat(PRINTABLE_LENGTH))).toHaveLength(PRINTABLE_LENGTH);
  });

  it('does no work on what it drops', () => {
    const huge = '\u001b'.repeat(1 << 28);
    expect(printable(huge, 5)).toBe('\\x1b…');
  });
});

describe('cutText', () => {
  it('answers a text that fits as it is, and of another one the beginning', () => {
    expect([cutText('abc', 3), cutText('abcd', 3)]).toEqual(['abc', 'ab…']);
  });
});
