import { connect } from '../cri/connection.ts';
import { findEither } from '../cri/find-id.ts';
import { argument, type Invocation } from '../invocation.ts';
import { formatted, outputFormat } from '../output/format.ts';
import { type Explanation, explanationText } from '../why/explanation.ts';

/** `gantry why ID`: what failed of a pod or container, and what to do; by its id also when it is gone. */
export async function why(invocation: Invocation): Promise<void> {
  using cri = connect(invocation);
  const { signal } = invocation;
  const id = await findEither(cri, argument(invocation, 0), signal);
  const { json } = await cri.diagnostics.explain({ id }, { signal });
  const explanation = JSON.parse(json) as Explanation;
  const format = outputFormat(invocation);
  invocation.out(
    format === 'table' ? explanationText(explanation) : formatted(format, explanation),
  );
}
