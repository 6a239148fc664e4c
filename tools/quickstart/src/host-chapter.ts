import { ensureDefaultImage } from '@microvm/image';
import type { HostReport, Microvm } from '@microvm/sdk';
import { statSync } from 'node:fs';
import { ImageProgressLines } from './image-progress.js';
import { formatBytes, formatMs } from './format.js';
import type { Screen } from './screen.js';

/** Says what this host can do, and which driver will run the VMs. Opens the runtime. */
export async function showHost(screen: Screen, microvm: Microvm): Promise<void> {
  screen.chapter('This host');
  const { driver, reason, reports } = await microvm.driver();
  for (const report of reports) showReport(screen, report);
  screen.done(`driver: ${driver}, ${reason}`);
}

function showReport(screen: Screen, report: HostReport): void {
  const vmm = report.vmmVersion === undefined ? '' : ` ${report.vmmVersion}`;
  const verdict = report.usable ? `usable, guest code runs by ${report.accelerator}` : 'not usable here';
  screen.line(`${report.driver}${vmm}: ${verdict}`);
  for (const { severity, code, message, remedy } of report.findings) {
    if (severity === 'error') screen.failed(`${code}: ${message}`);
    else if (severity === 'warning') screen.warning(`${code}: ${message}`);
    else screen.line(`  ${code}: ${message}`);
    if (remedy !== undefined) screen.detail(`what to do: ${remedy}`);
  }
}

/** Makes the default image, or finds it made. */
export async function prepareImage(screen: Screen, signal: AbortSignal): Promise<void> {
  screen.chapter('Guest image');
  const startedAt = performance.now();
  const lines = new ImageProgressLines(screen);
  const image = await ensureDefaultImage({ signal, onProgress: lines.update }).finally(() => lines.stop());
  const how = lines.isEmpty ? 'found in the cache' : 'made';
  screen.done(
    `Linux ${image.kernelRelease} with busybox and our agent, ${how} in ${formatMs(performance.now() - startedAt)}`,
  );
  for (const path of [image.kernelPath, image.initrdPath])
    screen.detail(`${path} (${formatBytes(statSync(path).size)})`);
}
