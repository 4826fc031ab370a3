import type { Records } from '../store/records.ts';
import type { OperationKind } from './journal.ts';
import { runSteps, type Step } from './steps.ts';

const never = new AbortController().signal;

/** An operation that takes something away. */
export interface TearDown<T> {
  readonly operation: OperationKind;
  readonly doing: string;
  readonly subject: T & { readonly id: string };
  readonly sandboxId: string;
  readonly steps: readonly Step<T>[];
  /** Do every step that can be done, also when one fails. */
  readonly keepGoing: boolean;
  /** Changes records in the transaction that begins the operation. */
  readonly begun?: () => void;
  /** Changes records in the one that ends it. */
  readonly done: () => void;
}

/**
 * Runs the steps as an operation of the journal. It goes on when the caller has
 * left: half a teardown helps nobody. What a failure has left is done by the next call.
 */
export async function tearDown<T>(
  {
    records,
    faultPoint,
  }: { readonly records: Records; readonly faultPoint: (name: string) => void },
  { operation, doing, subject, sandboxId, steps, keepGoing, begun, done }: TearDown<T>,
): Promise<void> {
  faultPoint(`${operation}:intent`);
  const op = records.commit(() => {
    begun?.();
    return records.journal.begin(operation, subject.id, sandboxId);
  });
  faultPoint(`${operation}:intent:done`);
  try {
    const { trail } = op;
    await runSteps(steps, subject, {
      operation,
      doing,
      signal: never,
      trail,
      faultPoint,
      keepGoing,
    });
  } catch (error) {
    records.commit(() => {
      records.journal.end(op, 'failed', error);
    });
    throw error;
  }
  records.commit(() => {
    done();
    records.journal.end(op, 'done');
  });
}
