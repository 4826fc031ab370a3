import { RuntimeError } from '@gantry/errors';
import type { OciDevice, OciDeviceCgroup } from '@gantry/oci';
import type { ResolvedDevice } from './spec-input.ts';

/** Device nodes to make, and what the device cgroup lets pass. */
export interface Devices {
  readonly nodes: OciDevice[];
  readonly rules: OciDeviceCgroup[];
}

/** Runtimes mount or link these themselves; the host's would be wrong ones. */
const runtimeOwned = /^\/dev\/(console|ptmx|pts\/.*|shm\/.*|mqueue\/.*)$/;

/**
 * The devices of a container. Everything is refused beside what is asked for
 * and the ones that runtimes always allow (/dev/null and so on). `hostDevices`
 * is given for a privileged container: all of them, and everything allowed.
 */
export function devicesOf(
  requested: readonly ResolvedDevice[],
  hostDevices?: readonly OciDevice[],
): Devices {
  const nodes = new Map<string, OciDevice>();
  for (const device of hostDevices ?? []) {
    if (!runtimeOwned.test(device.path)) {
      nodes.set(device.path, device);
    }
  }
  const rules: OciDeviceCgroup[] = [{ allow: hostDevices !== undefined, access: 'rwm' }];
  for (const { device, permissions } of requested) {
    nodes.set(device.path, device);
    if (hostDevices === undefined) {
      rules.push(ruleOf(device, permissions));
    }
  }
  return { nodes: [...nodes.values()], rules };
}

function ruleOf(device: OciDevice, permissions: string): OciDeviceCgroup {
  if (!/^[rwm]{1,3}$/.test(permissions)) {
    throw new RuntimeError(
      'invalid-argument',
      `device ${device.path}: permissions ${JSON.stringify(permissions)} are not of r, w and m`,
    );
  }
  const { type, major, minor } = device;
  return {
    allow: true,
    type: type === 'b' ? 'b' : 'c',
    ...(major !== undefined && { major }),
    ...(minor !== undefined && { minor }),
    access: permissions,
  };
}
