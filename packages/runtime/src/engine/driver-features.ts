import { defineCapabilities, type Capabilities } from '../contract/capabilities.js';
import { unsupported } from '../contract/errors.js';
import { withoutUndefined } from '../contract/without-undefined.js';
import type { VmDriver } from '../ports/driver.js';

type Feature = 'pausing' | 'snapshots' | 'guestAgent' | 'console' | 'metering';
type Featured = Pick<VmDriver, 'name' | 'support' | Feature>;

/**
 * A feature of the driver. Throws UNSUPPORTED where the driver lacks the feature, as after a change to
 * another driver.
 */
export function featureOf<F extends Feature>(driver: Featured, feature: F): NonNullable<VmDriver[F]> {
  const found = driver[feature];
  if (found === undefined) throw unsupported(`${feature} by the driver "${driver.name}"`);
  return found;
}

/**
 * What a runtime can do on this driver: what the driver says of itself, and what follows from the features
 * that it has.
 */
export function capabilitiesOf(
  driver: Featured,
  { isDurable, hasImages }: { readonly isDurable: boolean; readonly hasImages: boolean },
): Capabilities {
  const { support, pausing, snapshots, guestAgent, console, metering } = driver;
  const { adoption = false, ...rest } = support;
  const memorySnapshot = pausing !== undefined && snapshots?.memory === true;
  return defineCapabilities({
    ...withoutUndefined(rest),
    limits: support.limits,
    // The agent is what mounts an image.
    spec: { ...support.spec, image: support.spec?.image === true && hasImages && guestAgent !== undefined },
    pause: pausing !== undefined,
    memorySnapshot,
    diskSnapshot: snapshots?.disks === true,
    concurrentRestores: snapshots?.concurrentRestores === true,
    networkOverrides: snapshots?.networkOverrides === true,
    guestAgent: guestAgent !== undefined,
    console: console !== undefined,
    metrics: metering !== undefined,
    durable: isDurable,
    adoption: isDurable && adoption,
  });
}
