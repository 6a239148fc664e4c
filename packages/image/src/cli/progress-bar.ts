import cliProgress from 'cli-progress';
import type { ImageProgress } from '../progress.js';

/** Where progress is shown: bars on a terminal, lines elsewhere. */
export type ProgressStream = NodeJS.WritableStream & { readonly isTTY?: boolean };

export interface ProgressBar {
  readonly update: (progress: ImageProgress) => void;
  /** Idempotent. */
  stop(): void;
}

/** One bar per step on a terminal; elsewhere one line per step that is done. */
export function createProgressBar(stream: ProgressStream): ProgressBar {
  let bar: cliProgress.SingleBar | undefined;
  let step: string | undefined;
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const update = (progress: ImageProgress): void => {
    if (stream.isTTY !== true) {
      if (progress.done === progress.total) stream.write(`image: ${describe(progress)}\n`);
      return;
    }
    if (progress.step !== step) {
      stop();
      step = progress.step;
      bar = startBar(stream, progress);
    }
    // Of a pull the end is known only when it is there.
    bar?.setTotal(progress.total);
    bar?.update(progress.done, { amount: amount(progress) });
    if (progress.done === progress.total) stop();
  };
  return { update, stop };
}

function startBar(stream: ProgressStream, progress: ImageProgress): cliProgress.SingleBar {
  const bar = new cliProgress.SingleBar(
    { stream, format: 'image: {step} {bar} {percentage}% {amount}', hideCursor: true, gracefulExit: false },
    cliProgress.Presets.shades_classic,
  );
  bar.start(progress.total, 0, { step: progress.step.padEnd(13), amount: amount(progress) });
  return bar;
}

function describe(progress: ImageProgress): string {
  const text = amount(progress);
  return text === '' ? progress.step : `${progress.step}, ${text}`;
}

function amount({ total, unit }: ImageProgress): string {
  if (unit === 'steps') return '';
  return unit === 'bytes' ? `${(total / 1e6).toFixed(1)} MB` : `${total} ${unit}`;
}
