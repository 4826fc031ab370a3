import { RuntimeError } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import type { PauseSpecInput } from './spec-input.ts';

/** The bundle configuration of a pod's pause container. Throws like `containerSpec`. */
export function pauseSpec(input: PauseSpecInput): OciSpec {
  throw new RuntimeError('unimplemented', `pod ${input.sandbox.id}: spec`);
}
