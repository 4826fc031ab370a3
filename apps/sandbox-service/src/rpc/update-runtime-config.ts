import type { Records } from '../store/records.ts';
import type { RuntimeMethod } from './handlers.ts';

interface Deps {
  readonly records: Pick<Records, 'settings'>;
}

/** A kubelet tells the node's pod CIDR here; it is kept, and shown by Status. */
export function updateRuntimeConfig({ records }: Deps): RuntimeMethod<'updateRuntimeConfig'> {
  return ({ runtimeConfig }) => {
    const cidr = runtimeConfig?.networkConfig?.podCidr ?? '';
    if (cidr !== '' && records.settings.get('pod_cidr') !== cidr) {
      records.settings.set('pod_cidr', cidr);
    }
    return Promise.resolve({});
  };
}
