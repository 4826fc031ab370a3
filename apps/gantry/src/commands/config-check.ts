import { defaultConfigFile } from '@gantry/config';
import type { Invocation } from '../invocation.ts';

/** `gantry config check`: reads the config file; every fault is an error, told at once. */
export function configCheck(invocation: Invocation): Promise<void> {
  return Promise.try(() => {
    invocation.config();
    invocation.out(`${invocation.configFile ?? defaultConfigFile}: no fault\n`);
  });
}
