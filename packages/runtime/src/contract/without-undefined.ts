/** A value whose optional fields are absent, never undefined. */
export type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** A copy without the fields that are undefined: `exactOptionalPropertyTypes` knows a field that is absent, not one that is undefined. */
export function withoutUndefined<T extends object>(value: T): Partial<Defined<T>> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Partial<
    Defined<T>
  >;
}
