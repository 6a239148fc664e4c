import { expect, test } from 'vitest';
import { probeKvm } from '../dist/index.js';
import { openDescriptors } from './fixture.js';

test('gives a verdict with reasons and remedies', async () => {
  const report = await probeKvm();
  expect(report.usable).toBe(report.findings.length === 0);
  for (const { code, message, remedy } of report.findings) {
    expect(code).toMatch(/^kvm-/);
    expect(message).not.toBe('');
    expect(remedy).not.toBe('');
  }
  const names = ['real-mode', 'long-mode', 'exception', 'timer-interrupt', 'kernel-code', 'speed'];
  expect(report.stages.map(({ name }) => name)).toEqual(names.slice(0, report.stages.length));
  expect(report.stages.filter(({ passed }) => !passed).length).toBe(
    report.usable ? 0 : Math.min(1, report.stages.length),
  );
  expect(report.durationMs).toBeLessThan(10_000);
});

test('ten at once agree and leave no descriptor', async () => {
  const before = openDescriptors();
  const reports = await Promise.all(Array.from({ length: 10 }, () => probeKvm()));
  expect(new Set(reports.map(({ usable }) => usable)).size).toBe(1);
  expect(openDescriptors()).toBe(before);
});
