/** A kernel's version, as far as features follow it. */
export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
}

/** The version in a kernel's name (uname -r), such as `6.1.0-13-amd64`; undefined when there is none. */
export function kernelVersionOf(release: string): KernelVersion | undefined {
  const [, major, minor] = /^([0-9]+)\.([0-9]+)/.exec(release) ?? [];
  return major === undefined ? undefined : { major: Number(major), minor: Number(minor) };
}

/** Reports whether `kernel` is `least` or newer. */
export function isAtLeast(kernel: KernelVersion, least: KernelVersion): boolean {
  return (
    kernel.major > least.major || (kernel.major === least.major && kernel.minor >= least.minor)
  );
}
