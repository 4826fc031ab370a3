import { MountPropagation } from '@gantry/proto';
import { busyboxImage } from '../harness/stack.ts';
import { invalid, notFound, type Refusal, unheardOf } from './bad-request.ts';

const megabyte = 'm'.repeat(1 << 20);
const named = (name: string) => ({ metadata: { name, attempt: 0 } });
const mounting = (more: object) => ({
  mounts: [{ containerPath: '/data', hostPath: '/tmp', readonly: true, ...more }],
});
const mountingImage = (more: object) => ({
  mounts: [{ containerPath: '/i', readonly: true, image: { image: busyboxImage }, ...more }],
});
const withDevice = (more: object) => ({
  devices: [{ containerPath: '/dev/x', hostPath: '/dev/null', permissions: 'r', ...more }],
});

const range = (containerId: number, hostId: number, length: number) => ({
  containerId,
  hostId,
  length,
});

/** Fields of a container's config, and what is said of them. */
export const configs: Readonly<Record<string, readonly [object, Refusal]>> = {
  'no metadata': [{ metadata: undefined }, invalid(/metadata/)],
  'no name': [named(''), invalid(/metadata\.name/)],
  'a name with a NUL': [named('a\0b'), invalid(/metadata\.name/)],
  'a name of two lines': [named('a\nb'), invalid(/metadata\.name/)],
  'a name that is a path': [named('../x'), invalid(/metadata\.name/)],
  'a name of a megabyte': [named(megabyte), invalid(/metadata\.name/)],
  'no image': [{ image: undefined }, invalid(/image/)],
  'an image that is not there': [
    { image: { image: 'localhost/no/such:1' } },
    notFound(/no\/such:1/),
  ],
  'an image that is a path': [{ image: { image: '../../etc' } }, notFound(/etc/)],
  'an image of a megabyte': [{ image: { image: megabyte } }, notFound(/image/)],
  'a log path with ..': [{ logPath: '../../etc/cron.d/x' }, invalid(/log_path/)],
  'an absolute log path': [{ logPath: '/etc/cron.d/x' }, invalid(/log_path/)],
  'a log path with a NUL': [{ logPath: 'a\0b' }, invalid(/log_path/)],
  'a log path that is the directory': [{ logPath: '.' }, invalid(/bad: config\.log_path.*no file/)],
  'a log path that ends with a slash': [{ logPath: 'a/' }, invalid(/log_path.*no file/)],
  'a log path of a megabyte': [{ logPath: megabyte }, invalid(/log_path.*longer/)],
  // An OCI runtime would repeat all of these, and hang: see check-lengths.ts.
  'a command of a megabyte': [{ command: [megabyte] }, invalid(/command.*longer/)],
  'a working directory of a megabyte': [
    { workingDir: `/${megabyte}` },
    invalid(/working_dir.*longer/),
  ],
  'a mount to a path of a megabyte': [
    mounting({ containerPath: `/${megabyte}` }),
    invalid(/mount.*longer/),
  ],
  'a mount of a path of a megabyte': [
    mounting({ hostPath: `/${megabyte}` }),
    invalid(/config\.mounts: "\/data": host_path.*longer/),
  ],
  'a mount of a path with a part that is too long': [
    mounting({ hostPath: `/tmp/${'p'.repeat(256)}` }),
    invalid(/host_path.*leads nowhere/),
  ],
  // Node would try to make it for ever.
  'a mount of what is not in /proc': [
    mounting({ hostPath: '/proc/no-such/path' }),
    invalid(/config\.mounts: "\/data": host_path "\/proc\/no-such\/path" leads nowhere/),
  ],
  'a mount with empty mappings': [
    mounting({ uidMappings: [range(0, 1, 0)], gidMappings: [range(0, 1, 1)] }),
    invalid(/uid_mappings/),
  ],
  'a mount with mappings beyond the last id': [
    mounting({ uidMappings: [range(0, 4_294_967_290, 10)], gidMappings: [range(0, 1, 1)] }),
    invalid(/uid_mappings.*last id/),
  ],
  'a mount with ids mapped twice': [
    mounting({ uidMappings: [range(0, 1, 10), range(5, 100, 1)], gidMappings: [range(0, 1, 1)] }),
    invalid(/uid_mappings.*twice/),
  ],
  'a sub path that is a file': [
    mountingImage({ imageSubPath: 'bin/sh' }),
    invalid(/"\/i": ImageVolumeMountFailed: image_sub_path "bin\/sh": not a directory$/),
  ],
  'a sub path of a megabyte': [
    mountingImage({ imageSubPath: megabyte }),
    invalid(/image_sub_path.*longer/),
  ],
  'a sub path with a part that is too long': [
    mountingImage({ imageSubPath: 's'.repeat(256) }),
    invalid(/image_sub_path.*leads nowhere/),
  ],
  'a mount of an image that is a path': [
    mountingImage({ image: { image: '../../etc' } }),
    notFound(/etc/),
  ],
  'a relative device': [withDevice({ hostPath: 'null' }), invalid(/config\.devices: host_path/)],
  'a device with a NUL': [withDevice({ hostPath: '/dev/a\0b' }), invalid(/config\.devices/)],
  'a device of a megabyte': [
    withDevice({ hostPath: `/${megabyte}` }),
    invalid(/config\.devices.*longer/),
  ],
  'a device at a path of a megabyte': [
    withDevice({ containerPath: `/${megabyte}` }),
    invalid(/longer/),
  ],
  'a CDI device that is a path': [{ CDIDevices: [{ name: '../../x' }] }, invalid(/cdi/i)],
  'a CDI device with a NUL': [{ CDIDevices: [{ name: 'a\0b' }] }, invalid(/cdi/i)],
  'a CDI device of a megabyte': [{ CDIDevices: [{ name: megabyte }] }, invalid(/cdi/i)],
  'a CDI annotation that is nonsense': [
    { annotations: { 'cdi.k8s.io/x': 'nonsense' } },
    invalid(/cdi\.k8s\.io\/x.*nonsense/),
  ],
  'a command with a NUL': [{ command: ['sh', 'a\0b'] }, invalid(/command/)],
  'arguments with a NUL': [{ args: ['a\0b'] }, invalid(/argument/)],
  'a variable without a name': [{ envs: [{ key: '', value: bytes('x') }] }, invalid(/envs/)],
  'a variable with = in its name': [
    { envs: [{ key: 'A=B', value: bytes('x') }] },
    invalid(/envs.*A=B/),
  ],
  'a variable with a NUL': [{ envs: [{ key: 'A', value: bytes('a\0b') }] }, invalid(/envs.*A/)],
  'a working directory with a NUL': [{ workingDir: '/a\0b' }, invalid(/working_dir/)],
  'a mount to nowhere': [mounting({ containerPath: '' }), invalid(/container_path/)],
  'a mount to a relative path': [mounting({ containerPath: 'data' }), invalid(/container_path/)],
  'a mount over the root': [mounting({ containerPath: '/a/..' }), invalid(/"\/"/)],
  'a mount to a path with a NUL': [mounting({ containerPath: '/a\0b' }), invalid(/container_path/)],
  'a mount of nothing': [mounting({ hostPath: '' }), invalid(/host_path/)],
  'a mount of a relative path': [mounting({ hostPath: '../etc' }), invalid(/host_path/)],
  'a mount of a path with a NUL': [mounting({ hostPath: '/a\0' }), invalid(/host_path/)],
  'a mount of a path and an image': [
    mountingImage({ hostPath: '/tmp' }),
    invalid(/image.*host_path|host_path.*image/),
  ],
  'a writable mount of an image': [mountingImage({ readonly: false }), invalid(/read-?only/)],
  'a mount of an image that is not there': [
    mountingImage({ image: { image: 'localhost/no/such:2' } }),
    notFound(/no\/such:2/),
  ],
  'a sub path out of an image': [
    mountingImage({ imageSubPath: '../../../../etc/no-such' }),
    invalid(/image_sub_path.*not in the image/),
  ],
  'a sub path with a NUL': [mountingImage({ imageSubPath: 'a\0b' }), invalid(/a\\u0000b/)],
  'a sub path without an image': [mounting({ imageSubPath: 'etc' }), invalid(/sub_?path/i)],
  'a propagation that is none': [mounting({ propagation: unheardOf() }), invalid(/propagation/)],
  'a writable mount that is read-only all the way down': [
    mounting({ readonly: false, recursiveReadOnly: true }),
    invalid(/recursive_read_only/),
  ],
  'a mount that is read-only all the way down and propagates': [
    mounting({
      recursiveReadOnly: true,
      propagation: MountPropagation.PROPAGATION_BIDIRECTIONAL,
    }),
    invalid(/recursive_read_only/),
  ],
  'a mount option that gives rights': [mounting({ mountOptions: ['suid'] }), invalid(/suid/)],
  'mapped ids of users only': [
    mounting({ uidMappings: [{ containerId: 0, hostId: 1, length: 1 }] }),
    invalid(/groups/),
  ],
  'a device that is a file': [withDevice({ hostPath: '/etc/passwd' }), invalid(/\/etc\/passwd/)],
  'a device that is not there': [
    withDevice({ hostPath: '/dev/no-such' }),
    invalid(/\/dev\/no-such/),
  ],
  'a device of nothing': [withDevice({ hostPath: '' }), invalid(/host_path/)],
  'a device at a relative path': [withDevice({ containerPath: '../x' }), invalid(/container_path/)],
  'permissions that are none': [withDevice({ permissions: 'rwx' }), invalid(/permissions/)],
  'a CDI device of nobody': [
    { CDIDevices: [{ name: 'nobody.example/gpu=0' }] },
    invalid(/CDI.*nobody/i),
  ],
  'a stop signal that is none': [{ stopSignal: 4242 }, invalid(/stop_signal/)],
};

function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}
