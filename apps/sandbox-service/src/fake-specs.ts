import { linuxResources } from '@gantry/oci-spec';
import type { Specs } from './ports.ts';

/** Specs with little in them, made for a host with cgroup v1. */
export function fakeSpecs(): Specs {
  const spec = (id: string) => ({
    ociVersion: '1.0.2',
    process: { user: { uid: 0, gid: 0 }, args: ['/bin/true'], env: ['A=secret'], cwd: '/' },
    root: { path: 'rootfs' },
    mounts: [],
    linux: { namespaces: [], cgroupsPath: `/gantry/${id}` },
  });
  return {
    pause: (sandbox) => Promise.resolve(spec(sandbox.id)),
    container: (container) => Promise.resolve({ spec: spec(container.id), stopSignal: 15 }),
    limits: (resources) =>
      Promise.try(linuxResources, resources, {
        cgroupVersion: 1,
        hugepageSizes: ['2MB'],
        swapAccounting: true,
      }),
  };
}
