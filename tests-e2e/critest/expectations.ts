import { release } from 'node:os';
import type { SpecResult } from '../ginkgo/report.ts';
import { type Combination, nameOf } from './combination.ts';

/** How many specs critest 1.36.0 has, benchmarks included; those of SELinux come only where it is on. */
export const specCount = 122;

/** A spec that may end otherwise than passed, and why. docs/critest.md says the same in words. */
export interface Exception {
  readonly outcome: 'failed' | 'skipped';
  /** What its name must match. */
  readonly spec: RegExp;
  /** What the message of the skip or failure must match: another cause is another matter. */
  readonly message: RegExp;
  readonly reason: string;
  /** The combinations that it is for; all unless told. */
  readonly combinations?: readonly string[];
  /** Whether this host gives the reason; unless told, critest finds out by itself. */
  readonly onHost?: () => boolean;
}

/** Every other spec must pass, in every combination. */
export const exceptions: readonly Exception[] = [
  {
    outcome: 'failed',
    spec: /Image Manager public image with digest should be pulled and removed/,
    message: /test-image-digest/,
    reason: 'the digest is of an image that is only at gcr.io; none that is made here can have it',
  },
  {
    outcome: 'skipped',
    spec: /\] AppArmor /,
    message: /AppArmor is disabled on this host/,
    reason: 'the kernel of the host has no AppArmor',
  },
  {
    outcome: 'skipped',
    spec: /\] Security Context UserNamespaces /,
    message: /no runtime handler found which supports user namespaces/,
    reason: 'the kernel of the host has no overlays of layers with mapped ids (Linux before 5.19)',
    onHost: () => kernelBefore(5, 19),
  },
  {
    outcome: 'skipped',
    spec: /\] (Container|PodSandbox|Image) benchmark /,
    message: /^$/,
    reason: 'a measurement, run on request only (critest -benchmark)',
  },
];

function kernelBefore(major: number, minor: number): boolean {
  const [ours = 0, oursMinor = 0] = release().split('.').map(Number);
  return ours < major || (ours === major && oursMinor < minor);
}

/** What a run says beside its expectations. */
export interface Verdict {
  /** One line each; the run failed unless it is empty. */
  readonly faults: readonly string[];
  /** What is better than expected: the expectation is to be taken out. */
  readonly notes: readonly string[];
  /** The failures that nobody expected, to be shown whole. */
  readonly failures: readonly SpecResult[];
}

/** Compares a run with what is expected of it. `isWhole`: not narrowed down by a focus. */
export function judge(
  results: readonly SpecResult[],
  combination: Combination,
  {
    isWhole,
    known = exceptions,
  }: { readonly isWhole: boolean; readonly known?: readonly Exception[] },
): Verdict {
  const faults: string[] = [];
  const notes: string[] = [];
  const failures: SpecResult[] = [];
  const everywhere = results.filter(({ name }) => !/\] SELinux /.test(name)).length;
  if (isWhole && everywhere !== specCount) {
    faults.push(`${everywhere} specs reported, ${specCount} expected`);
  }
  for (const result of results) {
    const named = known.filter(
      (e) =>
        e.spec.test(result.name) &&
        (e.combinations?.includes(nameOf(combination)) ?? true) &&
        (e.onHost?.() ?? true),
    );
    if (result.outcome === 'passed') {
      notes.push(...named.map((e) => `passed, though expected to be ${e.outcome}: ${result.name}`));
    } else if (!named.some((e) => e.outcome === result.outcome && e.message.test(result.message))) {
      if (result.outcome === 'failed') {
        faults.push(`failed: ${result.name}`);
        failures.push(result);
      } else if (isWhole) {
        faults.push(
          `skipped without a known reason: ${result.name}: ${result.message || 'left out'}`,
        );
      }
    }
  }
  return { faults, notes, failures };
}
