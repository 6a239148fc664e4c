import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Fingerprints, isSameRequest } from '../src/engine/fingerprints.js';

describe('the fingerprint of a request', () => {
  const [first, second] = [new Fingerprints(), new Fingerprints()];
  const values = ['vm', 'token'];

  it('without secrets is that of every process', () => {
    const digest = createHash('sha256').update('["vm","token"]').digest('base64url');
    expect(first.of(values)).toBe(digest);
    expect(isSameRequest(first.of(values), second.of(values))).toBe(true);
    expect(isSameRequest(first.of(values), first.of(['vm', 'other']))).toBe(false);
    expect(isSameRequest(undefined, first.of(values))).toBe(false);
  });

  it('with secrets tells their values in the process that was given them', () => {
    expect(isSameRequest(first.of(values, 'a'), first.of(values, 'a'))).toBe(true);
    expect(isSameRequest(first.of(values, 'a'), first.of(values, 'b'))).toBe(false);
    expect(isSameRequest(first.of(values, 'a'), first.of(values))).toBe(false);
  });

  it('with secrets tells all but their values to another process', () => {
    expect(isSameRequest(first.of(values, 'a'), second.of(values, 'b'))).toBe(true);
    expect(isSameRequest(first.of(values, 'a'), second.of(['vm', 'other'], 'a'))).toBe(false);
  });

  it('cannot be guessed: the same value has another one in each process, and fits a record', () => {
    expect(first.of(values, 'a')).not.toBe(second.of(values, 'a'));
    const unkeyed = createHash('sha256').update(JSON.stringify('a')).digest('base64url');
    expect(first.of(values, 'a')).not.toContain(unkeyed);
    expect(first.of(values, 'a').length).toBeLessThanOrEqual(128);
  });
});
