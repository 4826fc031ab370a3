import { defaultConfigToml } from '@gantry/config';
import type { Invocation } from '../invocation.ts';

/** `gantry config default`: the whole file, with a comment on each key. */
export function configDefault(invocation: Invocation): Promise<void> {
  return Promise.try(() => {
    invocation.out(defaultConfigToml());
  });
}
