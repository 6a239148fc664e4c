import cliProgress from 'cli-progress';
import type { ImageProgress } from '@microvm/image';
import { formatBytes } from './format.js';
import type { Screen } from './screen.js';

/**
 * Progress of making the image: a bar per step on a terminal, and in each case a line per step that is done.
 */
export class ImageProgressLines {
  readonly #screen: Screen;
  #bar: cliProgress.SingleBar | undefined;
  #step: string | undefined;

  constructor(screen: Screen) {
    this.#screen = screen;
  }

  /** Nothing had to be made. */
  get isEmpty(): boolean {
    return this.#step === undefined;
  }

  readonly update = (progress: ImageProgress): void => {
    if (progress.step !== this.#step) this.#begin(progress);
    this.#bar?.update(progress.done);
    if (progress.done === progress.total) {
      this.stop();
      this.#screen.line(`${progress.step}${amount(progress)}`);
    }
  };

  /** Idempotent. */
  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }

  #begin(progress: ImageProgress): void {
    this.stop();
    this.#step = progress.step;
    if (!this.#screen.isTerminal) return;
    this.#bar = new cliProgress.SingleBar(
      {
        format: '             {bar} {percentage}% ' + progress.step,
        hideCursor: true,
        clearOnComplete: true,
        gracefulExit: false,
      },
      cliProgress.Presets.shades_classic,
    );
    this.#bar.start(progress.total, progress.done);
  }
}

function amount({ total, unit }: ImageProgress): string {
  if (unit === 'steps') return '';
  return unit === 'bytes' ? `, ${formatBytes(total)}` : `, ${String(total)} ${unit}`;
}
