import { quote, RuntimeError } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';

/** PATH_MAX of Linux, without the zero byte that ends it. */
const maxPathBytes = 4095;

/**
 * Gives `spec` back; throws `invalid-argument` for a path, or a sysctl, that no
 * kernel takes because it is too long. An OCI runtime would repeat it in its
 * message, and hang: conmon empties the pipe of its errors, which holds 64 KiB,
 * only when the runtime has ended.
 */
export function checkLengths(spec: OciSpec): OciSpec {
  const { process, mounts, linux } = spec;
  const { devices = [], maskedPaths = [], readonlyPaths = [], sysctl = {} } = linux;
  check('command', process.args[0]);
  check('working_dir', process.cwd);
  check('apparmor: profile', process.apparmorProfile);
  check('cgroup_parent', linux.cgroupsPath);
  for (const { destination } of mounts) {
    check('mount', destination);
  }
  for (const { path } of devices) {
    check('device', path);
  }
  for (const path of maskedPaths) {
    check('masked_paths', path);
  }
  for (const path of readonlyPaths) {
    check('readonly_paths', path);
  }
  for (const [name, value] of Object.entries(sysctl)) {
    check('sysctl', name);
    check(`sysctl ${name}`, value);
  }
  return spec;
}

function check(field: string, text = ''): void {
  if (Buffer.byteLength(text) > maxPathBytes) {
    const message = `${field}: ${quote(text)} is longer than ${String(maxPathBytes)} bytes`;
    throw new RuntimeError('invalid-argument', message);
  }
}
