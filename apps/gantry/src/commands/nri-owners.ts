import { ExplainContainerResponseSchema } from '@gantry/proto/nri-broker';
import { connect } from '../cri/connection.ts';
import { argument, type Invocation } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { table } from '../output/table.ts';

/** `gantry nri owners CONTAINER`: which plugin has set or removed which of its fields. */
export async function nriOwners(invocation: Invocation): Promise<void> {
  const format = outputFormat(invocation);
  using cri = connect(invocation);
  const containerId = argument(invocation, 0);
  const answer = await cri.plugins.explainContainer({ containerId }, { signal: invocation.signal });
  invocation.out(
    format === 'table'
      ? table(
          ['FIELD', 'KEY', 'PLUGIN', 'ACTION'],
          answer.owners.map(({ field, key, plugin, action }) => [field, key, plugin, action]),
        )
      : formatted(format, messageJson(ExplainContainerResponseSchema, answer)),
  );
}
