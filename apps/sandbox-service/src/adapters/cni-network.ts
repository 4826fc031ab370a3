import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { openCniNetwork } from '../network/cni-network.ts';
import type { Network } from '../ports.ts';

/** The network of pods as config.toml's `[cni]` has it. */
export function startCniNetwork(
  config: Pick<Config, 'cni' | 'root_dir'>,
): Promise<Network & AsyncDisposable> {
  const { conf_dir: confDir, bin_dirs: binDirs, timeout_ms: timeoutMs } = config.cni;
  const cacheDir = join(config.root_dir, 'sandbox', 'attachments');
  const confTemplate = config.cni.conf_template;
  return openCniNetwork({ confDir, binDirs, timeoutMs, cacheDir, confTemplate });
}
