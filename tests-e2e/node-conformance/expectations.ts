import type { SpecResult } from '../ginkgo/report.ts';

/** A spec that fails for a reason that is not Gantry's. docs/kubelet.md says the same in words. */
interface Exception {
  /** What its name must match. */
  readonly spec: RegExp;
  /** What the message of the failure must match: another cause is another matter. */
  readonly message: RegExp;
}

const exceptions: readonly Exception[] = [
  {
    // They look for the kubelet's cgroups at the root of the hierarchies; a test's lie below its own.
    spec: /\] Kubelet Cgroup Manager /,
    message: /Told to stop trying/,
  },
  {
    // The shell of Debian's busybox takes no variables such as `data-1`, and passes none on.
    spec: /\] (ConfigMap|Secrets) should be consumable via the environment /,
    message: /data-1=value-1/,
  },
  {
    // It wants figures of block devices, which this host counts for no cgroup, and file systems of at most 100 inodes.
    spec: /\] ContainerMetrics .* should report container metrics /,
    message: /missing expected key container_fs_reads_total/,
  },
  {
    // It wants pressure figures, which cgroup v1 has not, and cgroups of the kubelet and the runtime, which a test has not.
    spec: /\] Summary API .* should report resource usage through the stats api/,
    message: /missing expected element kubelet/,
  },
  {
    // It adds an interface of type dummy, which is a module that a host may not have.
    spec: /\] PrivilegedPod .* should enable privileged commands /,
    message: /RTNETLINK answers: Operation not supported/,
  },
];

/** The failures that nobody expected. */
export function unexpected(results: readonly SpecResult[]): readonly SpecResult[] {
  return results.filter(
    ({ outcome, name, message }) =>
      outcome === 'failed' &&
      !exceptions.some((known) => known.spec.test(name) && known.message.test(message)),
  );
}
