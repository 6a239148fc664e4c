/**
 * Whether a kernel's release, such as `6.12.9-cloud-amd64`, is this version of Linux or a newer one; false
 * where it names none.
 */
export function isLinuxAtLeast(release: string, major: number, minor: number): boolean {
  const match = /^(\d+)\.(\d+)/.exec(release);
  if (match === null) return false;
  const [hostMajor, hostMinor] = [Number(match[1]), Number(match[2])];
  return hostMajor > major || (hostMajor === major && hostMinor >= minor);
}
