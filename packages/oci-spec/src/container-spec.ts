import { RuntimeError } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import type { ContainerSpecInput } from './spec-input.ts';

/**
 * The bundle configuration of a container. Throws `invalid-argument` for what
 * the request got wrong and `failed-precondition` for what this host lacks;
 * messages begin with the field.
 */
export function containerSpec(input: ContainerSpecInput): OciSpec {
  throw new RuntimeError('unimplemented', `container ${input.id}: spec`);
}
