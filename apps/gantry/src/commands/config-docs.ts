import { configPage } from '@gantry/config';
import type { Invocation } from '../invocation.ts';

/** `gantry config docs`: the text of docs/config.md. */
export function configDocs(invocation: Invocation): Promise<void> {
  return Promise.try(() => {
    invocation.out(configPage());
  });
}
