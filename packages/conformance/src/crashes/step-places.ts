/** One of the steps that an operation goes through: a step can come several times. */
export interface StepPlace {
  readonly step: string;
  /** From 1. */
  readonly nth: number;
  readonly title: string;
}

/** Every place in a list of steps, in its order. */
export function placesIn(steps: readonly string[]): readonly StepPlace[] {
  const seen = new Map<string, number>();
  return steps.map((step) => {
    const nth = (seen.get(step) ?? 0) + 1;
    seen.set(step, nth);
    return { step, nth, title: nth === 1 ? step : `${step}, time ${nth}` };
  });
}
