import { describeProvider, describeCrashes } from '@microvm/conformance';
import { goodProvider } from './good-provider.js';
describeProvider('volatile', { ...goodProvider(), durable: false });
describeProvider('durable', { ...goodProvider() });
describeCrashes('durable', {
  ...goodProvider(),
  childModule: {
    path: new URL('./crash-child.ts', import.meta.url).pathname,
    execArgv: ['--conditions=@microvm/source', '--import', 'tsx'],
  },
});
