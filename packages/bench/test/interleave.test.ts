import { expect, it } from 'vitest';
import { interleave } from '../src/interleave.js';

it('takes pairs side by side, in turn first, and does not count the warm-up', async () => {
  const order: string[] = [];
  let value = 0;
  const sampler = (name: string) => async () => {
    order.push(name);
    value += 1;
    return value;
  };
  const samples = await interleave(sampler('ours'), sampler('theirs'), { pairs: 2, warmups: 1 });
  expect(order).toEqual(['theirs', 'ours', 'ours', 'theirs', 'theirs', 'ours']);
  expect(samples).toEqual({ ours: [3, 6], theirs: [4, 5] });
});
