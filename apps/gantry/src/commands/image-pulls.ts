import { ListPullsResponseSchema } from '@gantry/proto';
import { connect } from '../cri/connection.ts';
import type { Invocation } from '../invocation.ts';
import { formatted, messageJson, outputFormat } from '../output/format.ts';
import { duration } from '../output/progress.ts';
import { passedOverLines, pullSummary } from '../output/pull-lines.ts';
import { table } from '../output/table.ts';

/** `gantry image pulls`: what is being pulled right now, by whom and how far it is. */
export async function imagePulls(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const response = await cri.imageAdmin.listPulls({}, { signal: invocation.signal });
  const format = outputFormat(invocation);
  if (format !== 'table') {
    invocation.out(formatted(format, messageJson(ListPullsResponseSchema, response)));
    return;
  }
  const now = Date.now();
  const rows = response.pulls.map((pull) => {
    const { layers, bytes } = pullSummary(pull);
    return [pull.image, layers, bytes, duration(Math.max(0, now - Number(pull.startedAtMs)))];
  });
  invocation.out(table(['IMAGE', 'LAYERS', 'BYTES', 'SINCE'], rows));
  for (const line of new Set(response.pulls.flatMap(passedOverLines))) {
    invocation.out(`${line}\n`);
  }
}
