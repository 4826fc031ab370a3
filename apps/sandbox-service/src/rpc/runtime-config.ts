import { CgroupDriver } from '@gantry/proto';
import type { Handlers } from '../handlers.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly handlers: Handlers;
}

/** A kubelet takes the cgroup driver from here over its own setting. */
export function runtimeConfig({ handlers }: Deps): RuntimeMethod<'runtimeConfig'> {
  return () => {
    const systemd = handlers.default?.systemdCgroup === true;
    const cgroupDriver = systemd ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
    return Promise.resolve({ linux: { cgroupDriver } });
  };
}
