import { ExplainContainerResponseSchema } from '@gantry/proto/nri-broker';
import { connect } from '../cri/connection.ts';
import { findContainer } from '../cri/find-id.ts';
import { argument, type Invocation } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { table } from '../output/table.ts';
import { requireNri } from './nri-plugins.ts';

/** `gantry nri owners CONTAINER`: which plugin has set or removed which of its fields. */
export async function nriOwners(invocation: Invocation): Promise<void> {
  const format = outputFormat(invocation);
  requireNri(invocation);
  using cri = connect(invocation);
  const { signal } = invocation;
  const containerId = await findContainer(cri, argument(invocation, 0), signal);
  const answer = await cri.plugins.explainContainer({ containerId }, { signal });
  invocation.out(
    format === 'table'
      ? table(
          ['FIELD', 'KEY', 'PLUGIN', 'ACTION'],
          answer.owners.map(({ field, key, plugin, action }) => [field, key, plugin, action]),
        )
      : formatted(format, messageJson(ExplainContainerResponseSchema, answer)),
  );
}
