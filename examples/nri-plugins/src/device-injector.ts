import { stat } from 'node:fs/promises';
import { type Device, definePlugin, runPlugin } from '@gantry/nri';

/*
 * Gives devices of the host to containers, as annotations of their pods say:
 *
 *   inject.example.com/devices: "/dev/fuse,/dev/net/tun"       every container of the pod
 *   inject.example.com/devices.builder: "/dev/fuse"            one container
 */

const key = 'inject.example.com/devices';

/** What a device file of the host is. Throws where there is none. */
async function deviceAt(path: string): Promise<Device> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined || !(found.isCharacterDevice() || found.isBlockDevice())) {
    throw new Error(`annotation ${key}: ${path} is not a device of this host`);
  }
  const { rdev } = found;
  return {
    path,
    type: found.isBlockDevice() ? 'b' : 'c',
    // As glibc's major() and minor() take them apart.
    major: (rdev >>> 8) & 0xfff,
    minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00),
    mode: found.mode & 0o777,
    uid: found.uid,
    gid: found.gid,
  };
}

export const deviceInjector = definePlugin({
  name: 'device-injector',
  index: 10,
  async createContainer({ annotations }, { name }) {
    const list = annotations[`${key}.${name}`] ?? annotations[key];
    if (list === undefined) {
      return undefined;
    }
    const paths = list.split(',').map((path) => path.trim());
    return { devices: await Promise.all(paths.map(deviceAt)) };
  },
});

if (import.meta.main) {
  await runPlugin(deviceInjector).done;
}
