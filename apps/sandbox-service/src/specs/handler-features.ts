import { array, boolean, nullish, object, safeParse, string } from 'valibot';
import type { RuntimeHandler } from '../ports.ts';

// The parts of `<runtime> features` that we look at (OCI runtime spec, features.md).
const schema = object({
  mountOptions: nullish(array(string()), []),
  linux: nullish(
    object({
      mountExtensions: nullish(
        object({ idmap: nullish(object({ enabled: nullish(boolean(), false) })) }),
      ),
    }),
  ),
});

export type Feature = 'rro' | 'idmap';

/** Reports whether a handler says that it can do something; silence means no. */
export function supports(handler: RuntimeHandler, feature: Feature): boolean {
  const parsed = safeParse(schema, handler.features);
  if (!parsed.success) {
    return false;
  }
  const { mountOptions, linux } = parsed.output;
  switch (feature) {
    case 'rro':
      return mountOptions.includes('rro');
    case 'idmap':
      return linux?.mountExtensions?.idmap?.enabled === true;
  }
}
