import { posix } from 'node:path';
import { RuntimeError } from '@gantry/errors';

/**
 * `linux.cgroupsPath` of a container: `<parent>/<id>` where the runtime makes
 * the cgroup itself, `<slice>:gantry:<id>` where systemd does. A top-level
 * parent without the ending gets it (`/gantry` is gantry.slice); a deeper one
 * that is no slice is `invalid-argument`: it comes from a kubelet with the
 * other cgroup driver.
 */
export function cgroupsPath(parent: string, id: string, systemd: boolean): string {
  if (parent.split('/').includes('..')) {
    throw new RuntimeError('invalid-argument', `cgroup_parent: ${parent} leads upwards`);
  }
  if (!systemd) {
    return posix.join('/', parent, id);
  }
  const clean = posix.join('/', parent);
  const name = posix.basename(clean);
  if (name.endsWith('.slice')) {
    return `${name}:gantry:${id}`;
  }
  if (posix.dirname(clean) === '/' && name !== '') {
    return `${name}.slice:gantry:${id}`;
  }
  throw new RuntimeError(
    'invalid-argument',
    `cgroup_parent: ${JSON.stringify(parent)} is no slice, but the cgroup driver is systemd`,
  );
}
