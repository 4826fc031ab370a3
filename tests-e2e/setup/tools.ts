import { accessSync, constants } from 'node:fs';

/** A file of each Debian package that the tests drive, and the package. */
const needed: Readonly<Record<string, string>> = {
  '/usr/sbin/runc': 'runc',
  '/usr/bin/crun': 'crun',
  '/usr/bin/conmon': 'conmon',
  '/usr/sbin/nats-server': 'nats-server',
  '/usr/bin/docker-registry': 'docker-registry',
  '/usr/bin/skopeo': 'skopeo',
  '/usr/bin/podman': 'podman',
  '/usr/bin/openssl': 'openssl',
  '/usr/bin/catatonit': 'catatonit',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  '/usr/sbin/iptables': 'iptables',
  '/usr/bin/unshare': 'util-linux',
};
/** What only the bench wants. */
const extra: Readonly<Record<string, string>> = { '/usr/bin/containerd': 'containerd' };

/** The Debian packages that are to be installed before the tests can run, or the bench. */
export function missingTools(purpose: 'tests' | 'bench' = 'tests'): string[] {
  return Object.entries(purpose === 'tests' ? needed : { ...needed, ...extra })
    .filter(([file]) => {
      try {
        accessSync(file, constants.X_OK);
        return false;
      } catch {
        return true;
      }
    })
    .map(([, debianPackage]) => debianPackage);
}
