// One use of every call of the package that returns a promise, for tests of what holds for all of them: in
// vitest, and in processes of their own, which is why this is no TypeScript.
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import * as native from '../dist/index.js';

const owner = { uid: process.getuid(), gid: process.getgid() };

function ended(stream) {
  return new Promise((resolve) => stream.destroy().once('close', resolve));
}

/** What the calls work on, in a folder of its own. */
export async function prepareFixture(folder, cgroupMount, hasNetwork) {
  mkdirSync(join(folder, 'jail/firecracker'), { recursive: true });
  writeFileSync(join(folder, 'source'), Buffer.alloc(256 << 10, 'x'), { mode: 0o444 });
  mkdirSync(join(folder, 'beneath'));
  writeFileSync(join(folder, 'beneath/file'), 'x');
  // The end of an archive, which has nothing else.
  writeFileSync(join(folder, 'layer'), gzipSync(Buffer.alloc(1024)));
  // Answers as Firecracker's vsock does; good for a plain connection too.
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.write('OK 7\n'));
  });
  await new Promise((resolve) => server.listen(join(folder, 'v'), resolve));
  const netns = join(folder, 'shared-ns');
  if (hasNetwork) {
    await native.createNetns(netns);
    await native.createTap({ netns, name: 'tap0' });
  }
  const close = async () => {
    if (hasNetwork) await native.deleteNetns(netns);
    await new Promise((resolve) => server.close(resolve));
  };
  return { folder, netns, cgroupMount, hasNetwork, close };
}

/**
 * By the name of the call: `fixture`, a name that nobody else uses at the time, and the call's last options.
 * Whatever it has made is gone again when it resolves; it rejects as the call did.
 */
const ANYWHERE = {
  spawnProcess: async (_, __, options) => {
    const child = await native.spawnProcess({ file: '/bin/true', ...options });
    await child.ref().exited;
  },
  searchProcesses: (_, name, options) => native.searchProcesses({ argument: name }, options),
  lockDirectory: async ({ folder }, name, options) => {
    const path = join(folder, name);
    mkdirSync(path, { recursive: true });
    (await native.lockDirectory(path, options)).release();
  },
  writeDurable: ({ folder }, name, options) => native.writeDurable(join(folder, name), 'x', options),
  putDurable: ({ folder }, name, options) =>
    native.putDurable({ copy: join(folder, 'source') }, join(folder, name), options),
  removeDurable: ({ folder }, name, options) => {
    writeFileSync(join(folder, name), '');
    return native.removeDurable(join(folder, name), options);
  },
  renameDurable: ({ folder }, name, options) => {
    writeFileSync(join(folder, name), '');
    return native.renameDurable(join(folder, name), join(folder, `${name}-new`), options);
  },
  connectUnix: async ({ folder }, _, options) => {
    for (;;) {
      try {
        return closeSync(await native.connectUnix(join(folder, 'v'), options));
      } catch (error) {
        // The listener's queue is full for the moment.
        if (error.code !== 'EAGAIN') throw error;
        await new Promise(setImmediate);
      }
    }
  },
  listenUnix: async ({ folder }, name, options) => {
    closeSync(await native.listenUnix(join(folder, name), options));
    await native.removeDurable(join(folder, name));
  },
  probeKvm: (_, __, options) => native.probeKvm(options),
  copyFile: ({ folder }, name, options) =>
    native.copyFile(join(folder, 'source'), join(folder, name), { onProgress: () => {}, ...options }),
  digestFile: ({ folder }, _, options) => native.digestFile(join(folder, 'source'), options),
  discardFront: ({ folder }, name, options) => {
    writeFileSync(join(folder, name), 'x'.repeat(10_000));
    return native.discardFront(join(folder, name), 4096, options);
  },
  stageJail: async ({ folder }, name, options) => {
    const root = join(folder, 'jail/firecracker', name, 'root');
    const plan = {
      root,
      ...owner,
      shared: [{ name: 'kernel', from: join(folder, 'source') }],
      private: [{ name: 'disk', sizeBytes: 4096 }],
    };
    try {
      await native.stageJail(plan, options);
    } finally {
      await native.removeTree(join(folder, 'jail/firecracker', name));
    }
  },
  flattenLayers: ({ folder }, _, options) => {
    const layers = [
      { path: join(folder, 'beneath'), compression: 'folder' },
      { path: join(folder, 'layer'), compression: 'gzip' },
    ];
    const output = openSync('/dev/null', 'w');
    return native.flattenLayers({ layers, workDir: folder, output, onProgress: () => {}, ...options });
  },
  openBeneath: async ({ folder }, _, options) =>
    closeSync(await native.openBeneath(join(folder, 'beneath'), 'file', options)),
  removeTree: ({ folder }, name, options) => {
    mkdirSync(join(folder, name, 'a'), { recursive: true });
    return native.removeTree(join(folder, name), options);
  },
  waitForSocket: async ({ folder }, _, options) =>
    ended(await native.waitForSocket({ path: join(folder, 'v'), ...options })),
  waitForVsock: async ({ folder }, _, options) =>
    ended(await native.waitForVsock({ path: join(folder, 'v'), port: 5, ...options })),
  listenVsock: async ({ folder }, name, options) => {
    const listener = await native.listenVsock({ path: join(folder, name), port: 1, ...options });
    try {
      const accepted = listener.accept(options);
      accepted.catch(() => {});
      closeSync(await native.connectUnix(`${join(folder, name)}_1`));
      await ended(await accepted);
    } finally {
      await listener.close();
    }
  },
};

const WITH_CGROUPS = {
  createCgroup: async ({ cgroupMount }, name, options) => {
    const path = join(cgroupMount, `microvm-loop-${process.pid}-${name}`);
    try {
      await native.createCgroup(path, options);
    } finally {
      await native.killCgroup(path);
    }
  },
  killCgroup: async ({ cgroupMount }, name, options) => {
    const path = join(cgroupMount, `microvm-loop-${process.pid}-${name}`);
    await native.createCgroup(path);
    const child = await native.spawnProcess({ file: '/bin/sleep', args: ['1000'], cgroup: path });
    try {
      await native.killCgroup(path, options);
    } finally {
      await native.killCgroup(path);
      await child.ref().exited;
    }
  },
};

/** Each network call is in another name's way, so the name is also the lane's number. */
const WITH_NETWORK = {
  createNetns: async ({ folder }, name, options) => {
    const path = join(folder, `ns-${name}`);
    try {
      await native.createNetns(path, options);
    } finally {
      await native.deleteNetns(path);
    }
  },
  deleteNetns: async ({ folder }, name, options) => {
    const path = join(folder, `ns-${name}`);
    await native.createNetns(path);
    try {
      await native.deleteNetns(path, options);
    } finally {
      await native.deleteNetns(path);
    }
  },
  netnsExists: ({ netns }, _, options) => native.netnsExists(netns, options),
  createNetworkSlot: ({ folder }, name, options) => withSlot(folder, name, options, {}),
  deleteNetworkSlot: ({ folder }, name, options) => withSlot(folder, name, {}, options),
  createTap: ({ netns }, name, options) =>
    withLink(netns, linkName('t', name), () =>
      native.createTap({ netns, name: linkName('t', name) }, options),
    ),
  createVeth: ({ netns }, name, options) =>
    withLink(netns, linkName('v', name), () =>
      native.createVeth(
        { netns, name: linkName('v', name), host: { name: `mvl${process.pid % 1e6}${linkName('', name)}` } },
        options,
      ),
    ),
  setLink: ({ netns }, _, options) => native.setLink({ netns, link: 'tap0', mtu: 1400 }, options),
  deleteLink: ({ netns }, name, options) => {
    const link = linkName('d', name);
    return withLink(netns, link, async () => {
      await native.createTap({ netns, name: link });
      await native.deleteLink({ netns, link }, options);
    });
  },
  addAddress: ({ netns }, name, options) => withAddress(netns, name, options, {}),
  deleteAddress: ({ netns }, name, options) => withAddress(netns, name, {}, options),
  addRoute: ({ netns }, name, options) => withRoute(netns, name, options, {}),
  deleteRoute: ({ netns }, name, options) => withRoute(netns, name, {}, options),
  listLinks: ({ netns }, _, options) => native.listLinks({ netns }, options),
  listAddresses: ({ netns }, _, options) => native.listAddresses({ netns }, options),
  listRoutes: ({ netns }, _, options) => native.listRoutes({ netns }, options),
};

/** Names of links are short; what is unique in ours is the number at the end. */
function linkName(kind, name) {
  return `${kind}${name.replace(/\D/g, '').slice(-6)}`;
}

async function withSlot(folder, name, creation, deletion) {
  const plan = { netns: join(folder, `slot-${name}`), taps: [{ name: 'tap0', addresses: ['10.0.0.1/30'] }] };
  try {
    await native.createNetworkSlot(plan, creation);
    await native.deleteNetworkSlot(plan, deletion);
  } finally {
    await native.deleteNetworkSlot(plan);
  }
}

async function withLink(netns, link, use) {
  try {
    await use();
  } finally {
    await native.deleteLink({ netns, link });
  }
}

async function withAddress(netns, name, adding, deletion) {
  const lane = Number(name.replace(/\D/g, '').slice(-2)) % 100;
  const address = { netns, link: 'tap0', address: `10.9.${lane}.1/24` };
  try {
    await native.addAddress(address, adding);
    await native.deleteAddress(address, deletion);
  } finally {
    await native.deleteAddress(address);
  }
}

async function withRoute(netns, name, adding, deletion) {
  const lane = Number(name.replace(/\D/g, '').slice(-2)) % 100;
  const route = { netns, link: 'tap0', to: `10.8.${lane}.0/24` };
  try {
    await native.addRoute(route, adding);
    await native.deleteRoute(route, deletion);
  } finally {
    await native.deleteRoute(route);
  }
}

/** All of them, for the check that none is missing. */
export const EVERY_CALL = { ...ANYWHERE, ...WITH_CGROUPS, ...WITH_NETWORK };

/** Those that can work here. */
export function possibleCalls({ cgroupMount, hasNetwork }) {
  return {
    ...ANYWHERE,
    ...(cgroupMount === undefined ? {} : WITH_CGROUPS),
    ...(hasNetwork ? WITH_NETWORK : {}),
  };
}
