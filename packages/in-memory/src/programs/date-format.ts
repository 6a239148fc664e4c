const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAY_MS = 86_400_000;

/** A time as strftime(3) writes it, in UTC: the guest has no other zone. */
export function dateText(format: string, ms: number): string {
  const date = new Date(ms);
  const pad = (value: number, width = 2, fill = '0'): string => String(value).padStart(width, fill);
  const hours = date.getUTCHours();
  const day = DAYS[date.getUTCDay()] ?? '';
  const month = MONTHS[date.getUTCMonth()] ?? '';
  const fields: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getUTCFullYear()),
    y: () => pad(date.getUTCFullYear() % 100),
    C: () => pad(Math.floor(date.getUTCFullYear() / 100)),
    m: () => pad(date.getUTCMonth() + 1),
    d: () => pad(date.getUTCDate()),
    e: () => pad(date.getUTCDate(), 2, ' '),
    j: () => pad(Math.floor((ms - Date.UTC(date.getUTCFullYear(), 0, 1)) / DAY_MS) + 1, 3),
    H: () => pad(hours),
    I: () => pad(hours % 12 || 12),
    M: () => pad(date.getUTCMinutes()),
    S: () => pad(date.getUTCSeconds()),
    N: () => pad(date.getUTCMilliseconds(), 3) + '000000',
    p: () => (hours < 12 ? 'AM' : 'PM'),
    s: () => String(Math.floor(ms / 1000)),
    u: () => String(date.getUTCDay() || 7),
    w: () => String(date.getUTCDay()),
    a: () => day.slice(0, 3),
    A: () => day,
    b: () => month.slice(0, 3),
    h: () => month.slice(0, 3),
    B: () => month,
    F: () => dateText('%Y-%m-%d', ms),
    D: () => dateText('%m/%d/%y', ms),
    T: () => dateText('%H:%M:%S', ms),
    R: () => dateText('%H:%M', ms),
    c: () => dateText('%a %b %e %H:%M:%S %Y', ms),
    Z: () => 'UTC',
    z: () => '+0000',
    n: () => '\n',
    t: () => '\t',
    '%': () => '%',
  };
  return format.replace(/%([^])/g, (whole, letter: string) => fields[letter]?.() ?? whole);
}
