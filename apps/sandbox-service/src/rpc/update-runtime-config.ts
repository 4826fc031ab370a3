import type { Network } from '../ports.ts';
import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly network: Pick<Network, 'setPodCidr'>;
  readonly records: Pick<Records, 'settings'>;
}

/**
 * A kubelet tells the node's pod CIDR here, at each change. It is kept, shown by
 * Status, and makes a network configuration where one is to be made.
 */
export function updateRuntimeConfig({
  records,
  network,
}: Deps): RuntimeMethod<'updateRuntimeConfig'> {
  return async ({ runtimeConfig }) => {
    const cidr = runtimeConfig?.networkConfig?.podCidr ?? '';
    if (cidr !== '') {
      await network.setPodCidr(cidr);
      if (records.settings.get('pod_cidr') !== cidr) {
        records.settings.set('pod_cidr', cidr);
      }
    }
    return {};
  };
}
