import { register } from 'tsx/esm/api';

// `--import tsx` is for the main thread only.
register();
await import('./worker-owner.ts');
