import type { ExecTarget, Targets } from '../ports.ts';

/** Longer than the usual time between two probes. */
const maxAgeMs = 60_000;
const maxTargets = 512;

interface Known {
  readonly target: ExecTarget;
  readonly untilMs: number;
}

/**
 * Spares the question when a container was asked for within the last minute.
 * What a target tells is settled with the container's creation; whether the
 * container still runs is not, and the OCI runtime refuses one that has ended.
 * Only full ids are known: a prefix may come to mean two containers.
 */
export function rememberTargets(source: Targets, now = () => performance.now()): Targets {
  const known = new Map<string, Known>();
  return {
    async find(containerId, options) {
      const found = known.get(containerId);
      if (options.fresh !== true && found !== undefined && now() < found.untilMs) {
        return found.target;
      }
      // Also before it is asked: nothing is known of a container when the question fails.
      known.delete(containerId);
      const target = await source.find(containerId, options);
      known.delete(target.containerId);
      known.set(target.containerId, { target, untilMs: now() + maxAgeMs });
      if (known.size > maxTargets) {
        // Maps keep their order: the first one has been told longest ago.
        known.delete(known.keys().next().value ?? containerId);
      }
      return target;
    },
  };
}
