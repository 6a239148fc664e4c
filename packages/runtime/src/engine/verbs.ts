import type { JobKind } from '../contract/verbs.js';
import type { Verb } from './verb.js';
import { createVm } from './verbs/create.js';
import { deleteSnapshot } from './verbs/delete-snapshot.js';
import { destroyVm } from './verbs/destroy.js';
import { forgetVm } from './verbs/forget.js';
import { observeVm, rebootVm } from './verbs/observe.js';
import { pauseVm } from './verbs/pause.js';
import { renameVm } from './verbs/rename.js';
import { resumeVm } from './verbs/resume.js';
import { deleteSecret, setSecret } from './verbs/secrets.js';
import { setEnv } from './verbs/set-env.js';
import { snapshotVm } from './verbs/snapshot.js';
import { startVm } from './verbs/start.js';
import { stopVm } from './verbs/stop.js';
import { verifySnapshot } from './verbs/verify-snapshot.js';

/** Every kind of job. */
export const VERBS: { readonly [K in JobKind]: Verb<K> } = {
  createVm,
  startVm,
  stopVm,
  pauseVm,
  resumeVm,
  snapshotVm,
  renameVm,
  setEnv,
  setSecret,
  deleteSecret,
  destroyVm,
  forgetVm,
  deleteSnapshot,
  verifySnapshot,
  observeVm,
  rebootVm,
};
