import { linuxResources } from '@gantry/oci-spec';
import type { Specs } from './specs/specs.ts';

/** The config of every image of the fake host. */
export const imageConfig = JSON.stringify({
  os: 'linux',
  architecture: 'amd64',
  config: { Cmd: ['/bin/true'] },
  rootfs: { type: 'layers', diff_ids: [] },
});

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
    checkPod: () => Promise.resolve(),
    container: (container) => Promise.resolve({ spec: spec(container.id), stopSignal: 15 }),
    limits: (resources) =>
      Promise.try(linuxResources, resources, {
        cgroupVersion: 1,
        hugepageSizes: ['2MB'],
        swapAccounting: true,
      }),
  };
}
