import { snapshotView } from '../manifest.js';
import type { Verb } from '../verb.js';
import { parseSnapshotRef, requireSnapshot, subjectOfSnapshot } from './snapshot-ref.js';

export const verifySnapshot: Verb<'verifySnapshot'> = {
  kind: 'verifySnapshot',
  parse: { snapshot: parseSnapshotRef },
  needs: [],
  journal: 'none',
  names: () => [],
  subject: (context, { snapshot }) => subjectOfSnapshot(context, snapshot),
  async execute(context, { snapshot }, job) {
    const { catalogue } = context;
    const manifest = requireSnapshot(context, snapshot);
    const { snapshotUid } = manifest;
    const release = catalogue.hold(snapshotUid);
    try {
      await catalogue.verify(manifest, { full: true, signal: job.signal });
      return { snapshotUid };
    } finally {
      release();
    }
  },
  answer: (context, { snapshotUid = '' }) => snapshotView(requireSnapshot(context, { snapshotUid })),
};
