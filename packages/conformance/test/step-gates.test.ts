import { expect, test } from 'vitest';
import { StepGates } from '../src/step-gates.js';

test('a hold stops the next operation that reaches its step, until it is released', async () => {
  const gates = new StepGates();
  const hold = gates.hold('a');
  const order: string[] = [];
  const step = gates.onStep('a').then(() => order.push('went on'));
  await hold.reached;
  order.push('reached');
  hold.release();
  await step;
  await gates.onStep('a');
  expect(order).toEqual(['reached', 'went on']);
});

test('operations that are to meet wait for each other', async () => {
  const gates = new StepGates();
  gates.meet('a', 2);
  const order: string[] = [];
  const first = gates.onStep('a').then(() => order.push('first'));
  await gates.onStep('b');
  expect(order).toEqual([]);
  await Promise.all([first, gates.onStep('a')]);
  expect(order).toEqual(['first']);
});

test('a gate works once, for the first step that it matches', async () => {
  const gates = new StepGates();
  const seen: string[] = [];
  gates.once(
    (step) => step.startsWith('boot:'),
    (step) => void seen.push(step),
  );
  for (const step of ['prepare:disks', 'boot:started', 'boot:ready']) await gates.onStep(step);
  expect(seen).toEqual(['boot:started']);
});

test('a reset lets everything go that stands still', async () => {
  const gates = new StepGates();
  const hold = gates.hold('a');
  const step = gates.onStep('a');
  await hold.reached;
  gates.reset();
  await step;
});

test('steps are recorded in their order', async () => {
  const gates = new StepGates();
  await gates.onStep('before');
  const steps = gates.record();
  await gates.onStep('a');
  await gates.onStep('b');
  expect(steps).toEqual(['a', 'b']);
});
