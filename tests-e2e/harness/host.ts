import { diffHosts, type HostSnapshot, snapshotHost } from '@gantry/host/testing';
import type { Stack } from './stack.ts';

/** What this stack holds on the host now: mounts, namespaces, cgroups, processes, addresses. */
export function hostOf(stack: Stack): Promise<HostSnapshot> {
  return snapshotHost({
    stateDir: stack.stateDir,
    rootDir: stack.rootDir,
    cgroupPrefix: stack.cgroupParent,
    ipamDir: stack.ipamDir,
  });
}

/** What belongs to the stack and not to a pod: it may be made, and started anew, in between. */
const ofStack = [/^cgroup left: .*\/s-[^/]+$/, /^process left: .*nats-server --config/];

/** What is there after that was not there before, one line each. */
export function leaks(before: HostSnapshot, after: HostSnapshot): readonly string[] {
  return diffHosts(before, after).filter((line) => !ofStack.some((known) => known.test(line)));
}
