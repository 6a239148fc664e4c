import { statSync } from 'node:fs';
import { spawnProcess } from '@microvm/native';
import { openAsOwner } from './open-as-owner.js';

// An owner on a host without cgroups of version 2, one of whose VMMs has forked before its VM is destroyed.
const runtime = await openAsOwner();
const { vmm } = await runtime.createVm('a');
const { uid } = statSync(`/proc/${vmm?.pid ?? 0}`);
const forked = await spawnProcess({ file: 'sleep', args: ['1000'], uid, gid: uid });
const exit = forked.exited.then(({ signal }) => signal);
const { state } = await runtime.destroyVm('a');
const atOnce = await Promise.race([exit, new Promise((resolve) => setImmediate(resolve, 'alive'))]);
forked.kill('SIGKILL');
console.log(JSON.stringify({ limits: runtime.capabilities.spec.resourceLimits, state, forked: atOnce }));
await runtime.close();
