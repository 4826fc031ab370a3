/** What critest is run against: an OCI runtime, and what holds a pod's namespaces. */
export interface Combination {
  readonly runtime: 'runc' | 'crun';
  readonly infra: 'pause' | 'none';
}

export const combinations: readonly Combination[] = (['pause', 'none'] as const).flatMap((infra) =>
  (['runc', 'crun'] as const).map((runtime) => ({ runtime, infra })),
);

export function nameOf({ runtime, infra }: Combination): string {
  return `${runtime}/${infra}`;
}
