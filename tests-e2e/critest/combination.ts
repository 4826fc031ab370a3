/** What critest is run against: an OCI runtime, and what holds a pod's namespaces. */
export interface Combination {
  readonly runtime: 'runc' | 'crun';
  readonly infra: 'pause' | 'none';
}

export const combinations: readonly Combination[] = (['pause', 'none'] as const).flatMap((infra) =>
  (['runc', 'crun'] as const).map((runtime) => ({ runtime, infra })),
);

/** What clients of streams speak: SPDY with pause containers, WebSocket without, so that both are judged. */
export function streamsOf({ infra }: Combination): 'spdy' | 'websocket' {
  return infra === 'pause' ? 'spdy' : 'websocket';
}

export function nameOf({ runtime, infra }: Combination): string {
  return `${runtime}/${infra}`;
}
