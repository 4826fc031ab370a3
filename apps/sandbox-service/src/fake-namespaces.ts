import { RuntimeError } from '@gantry/errors';
import type { FakeMount } from './fake-mounts.ts';
import type { Namespaces } from './ports.ts';

/** Namespaces that are a set of paths; what else is mounted for them is noted in `mounts`. */
export function fakeNamespaces(pinned: Set<string>, mounts: Map<string, FakeMount>): Namespaces {
  return {
    create: ({ network, ipc, uts, sysctls = {}, sysfs }) => {
      const bad = Object.keys(sysctls).find((name) => name.startsWith('vm.'));
      if (bad !== undefined) {
        throw new RuntimeError('invalid-argument', `sysctl ${bad}: of the host`);
      }
      for (const path of [network, ipc, uts].filter((p) => p !== undefined)) {
        pinned.add(path);
      }
      if (sysfs !== undefined) {
        mounts.set(sysfs, 'sysfs');
      }
      return Promise.resolve();
    },
    remove: (path) => {
      pinned.delete(path);
      return Promise.resolve();
    },
    configure: ({ network, ipc, uts }) => {
      const missing = [network, ipc, uts].find((p) => p !== undefined && !pinned.has(p));
      if (missing !== undefined) {
        throw new RuntimeError('internal', `${missing}: no such namespace`);
      }
      return Promise.resolve();
    },
    createUsers: (paths) => {
      for (const path of Object.values(paths)) {
        pinned.add(path);
      }
      return Promise.resolve();
    },
    isPinned: (path) => Promise.resolve(pinned.has(path)),
    createNetns: (path) => {
      pinned.add(path);
      return Promise.resolve();
    },
    removeNetns: (path) => {
      pinned.delete(path);
      return Promise.resolve();
    },
  };
}
