import { RuntimeError } from '@gantry/errors';
import type { Step } from '../journal/steps.ts';
import type { Mounts } from '../ports.ts';
import { sourceOf } from '../specs/resolve-mounts.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { isImageVolume } from './image-volumes.ts';
import { selinuxLabelsOf } from './selinux-labels.ts';

/** What a whole host has there: with a container's label it would no longer start. */
const ofTheHost = new Set([
  ...['/', '/bin', '/boot', '/dev', '/etc', '/home', '/lib', '/lib64', '/media', '/mnt', '/opt'],
  ...['/proc', '/root', '/run', '/sbin', '/srv', '/sys', '/tmp', '/usr', '/var', '/var/lib'],
  ...['/var/log', '/var/run', '/var/tmp'],
]);
/** And all that is below these. */
const belowTheHost = [
  '/bin/',
  '/boot/',
  '/dev/',
  '/lib/',
  '/lib64/',
  '/proc/',
  '/sbin/',
  '/sys/',
  '/usr/',
];

/**
 * Gives the host paths of mounts with `selinux_relabel` the container's label, all
 * that is in them too. They keep it: nobody could say what they had before.
 */
export function relabelStep({
  mounts,
}: {
  readonly mounts: Pick<Mounts, 'relabel'>;
}): Step<{ readonly container: Container; readonly sandbox?: Sandbox }> {
  return {
    name: 'labels',
    async run({ container, sandbox }, signal) {
      const labels = sandbox && selinuxLabelsOf(container, sandbox);
      if (labels === undefined) {
        return;
      }
      for (const mount of container.config.mounts) {
        if (mount.selinuxRelabel && !isImageVolume(mount)) {
          const source = await sourceOf(mount);
          requireRelabelable(source, mount.containerPath);
          await mounts.relabel(source, labels.mount, { signal });
        }
      }
    },
  };
}

function requireRelabelable(source: string, containerPath: string): void {
  if (ofTheHost.has(source) || belowTheHost.some((path) => source.startsWith(path))) {
    throw new RuntimeError(
      'invalid-argument',
      `config.mounts: ${containerPath}: selinux_relabel of ${source} would take it from the host`,
    );
  }
}
