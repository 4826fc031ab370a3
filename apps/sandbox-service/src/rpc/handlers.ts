import type { ServiceImpl } from '@gantry/bus';
import type { Diagnostics, RuntimeService, Targets } from '@gantry/proto';

/** The handler of one CRI method. */
export type RuntimeMethod<K extends keyof ServiceImpl<typeof RuntimeService>> = ServiceImpl<
  typeof RuntimeService
>[K];

export type TargetsMethod<K extends keyof ServiceImpl<typeof Targets>> = ServiceImpl<
  typeof Targets
>[K];

export type DiagnosticsMethod<K extends keyof ServiceImpl<typeof Diagnostics>> = ServiceImpl<
  typeof Diagnostics
>[K];
