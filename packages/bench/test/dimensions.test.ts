import { expect, it } from 'vitest';
import { chooseDimensions, DIMENSIONS } from '../src/dimensions.js';

it('chooses by name and by group', () => {
  expect(chooseDimensions([])).toEqual(DIMENSIONS);
  expect(chooseDimensions(['open']).map(({ name }) => name)).toEqual(['open']);
  const group = chooseDimensions(['native']).map(({ name }) => name);
  expect(group).toContain('native-network');
  expect(group.every((name) => name.startsWith('native-'))).toBe(true);
  expect(() => chooseDimensions(['nat'])).toThrow('no benchmark "nat"');
});
