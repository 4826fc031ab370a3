import { connect } from '../cri/connection.ts';
import { argument, type Invocation } from '../invocation.ts';
import { formatted, outputFormat } from '../output/format.ts';
import { type Explanation, explanationText } from '../why/explanation.ts';

/** `gantry why ID`: what failed of a pod or container, and what to do; also when it is gone. */
export async function why(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const id = argument(invocation, 0);
  const { json } = await cri.diagnostics.explain({ id }, { signal: invocation.signal });
  const explanation = JSON.parse(json) as Explanation;
  const format = outputFormat(invocation);
  invocation.out(
    format === 'table' ? explanationText(explanation) : formatted(format, explanation),
  );
}
