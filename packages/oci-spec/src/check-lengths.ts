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
  checkLength('command', process.args[0]);
  checkLength('working_dir', process.cwd);
  checkLength('apparmor: profile', process.apparmorProfile);
  checkLength('cgroup_parent', linux.cgroupsPath);
  for (const { destination } of mounts) {
    checkLength('mount', destination);
  }
  for (const { path } of devices) {
    checkLength('device', path);
  }
  for (const path of maskedPaths) {
    checkLength('masked_paths', path);
  }
  for (const path of readonlyPaths) {
    checkLength('readonly_paths', path);
  }
  for (const [name, value] of Object.entries(sysctl)) {
    checkLength('sysctl', name);
    checkLength(`sysctl ${name}`, value);
  }
  return spec;
}

/** Throws `invalid-argument` for what is longer than any path. */
export function checkLength(field: string, text = ''): void {
  if (Buffer.byteLength(text) > maxPathBytes) {
    const message = `${field}: ${quote(text)} is longer than ${String(maxPathBytes)} bytes`;
    throw new RuntimeError('invalid-argument', message);
  }
}
