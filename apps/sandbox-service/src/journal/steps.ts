import { kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { withSpan } from '@gantry/telemetry';
import { kindOfFailure } from '../errno.ts';
import type { Trail } from './trail.ts';

/**
 * One part of an operation that changes the host. `undo` works from the
 * record's id alone, so that it can run in another process after a crash; it is
 * idempotent, and called also when `run` failed half-way or never ran.
 */
export interface Step<C> {
  readonly name: string;
  /** Names of the steps that must be done before; left out, the one above it in the list. */
  readonly after?: readonly string[];
  run(context: C, signal: AbortSignal): Promise<void> | void;
  undo?(context: C): Promise<void> | void;
}

export interface RunOptions {
  /** Such as `run-pod-sandbox`; with the step's name it is what a fault point is called. */
  readonly operation: string;
  /** For messages, such as `run pod sandbox default/web`. */
  readonly doing: string;
  /** Its abort stops the steps that run and lets no other begin. */
  readonly signal: AbortSignal;
  readonly trail: Trail;
  /** A failure stops only what comes after it: for what tears down. */
  readonly keepGoing?: boolean;
  /** Called before and after each step; see `faultPoint` of @gantry/host. */
  readonly faultPoint: (name: string) => void;
}

/**
 * Runs every step as soon as those that it comes after are done; steps that do
 * not depend on each other run beside each other. The first failure aborts the
 * others; it is thrown once nothing runs any more, with the step in its
 * message. Undoing is the caller's: see `undoSteps`.
 */
export async function runSteps<C>(
  steps: readonly Step<C>[],
  context: C,
  options: RunOptions,
): Promise<void> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  const first: { error?: RuntimeError } = {};
  const finished = new Map<string, Promise<boolean>>();

  const attempt = async (step: Step<C>, before: readonly Promise<boolean>[]): Promise<boolean> => {
    const ready = (await Promise.all(before)).every(Boolean);
    if (!ready || signal.aborted) {
      return false;
    }
    try {
      await runStep(step, context, signal, options);
      return true;
    } catch (cause) {
      first.error ??= new RuntimeError(kindOfFailure(cause), `${options.doing}: ${step.name}`, {
        cause,
      });
      if (options.keepGoing !== true) {
        failed.abort();
      }
      return false;
    }
  };

  for (const [index, step] of steps.entries()) {
    const after = step.after ?? steps.slice(Math.max(0, index - 1), index).map((s) => s.name);
    const before = after.map((name) => known(finished, step.name, name));
    finished.set(step.name, attempt(step, before));
  }
  const allDone = (await Promise.all(finished.values())).every(Boolean);
  if (first.error !== undefined) {
    throw first.error;
  }
  // An abort that comes when all is done changes nothing.
  if (!allDone) {
    const cause: unknown = options.signal.reason;
    throw new RuntimeError(kindOf(cause), options.doing, { cause });
  }
}

/**
 * Undoes every step, the last one first, whether it ran or not. Goes on after
 * a failure, and throws in the end what the first one was.
 */
export async function undoSteps<C>(
  steps: readonly Step<C>[],
  context: C,
  options: Pick<RunOptions, 'doing' | 'operation' | 'faultPoint'>,
): Promise<void> {
  const errors: RuntimeError[] = [];
  for (const step of steps.toReversed()) {
    if (step.undo === undefined) {
      continue;
    }
    options.faultPoint(`${options.operation}:undo-${step.name}`);
    try {
      await step.undo(context);
    } catch (cause) {
      errors.push(
        new RuntimeError(kindOfFailure(cause), `${options.doing}: undo ${step.name}`, { cause }),
      );
    }
  }
  const [error] = errors;
  if (error !== undefined) {
    throw error;
  }
}

/** As `undoSteps`, after `error`; returns what to tell, and whether anything may be left. */
export async function undoAfter<C>(
  error: unknown,
  steps: readonly Step<C>[],
  context: C,
  options: Pick<RunOptions, 'doing' | 'operation' | 'faultPoint'>,
): Promise<{ readonly error: unknown; readonly isUndone: boolean }> {
  try {
    await undoSteps(steps, context, options);
    return { error, isUndone: true };
  } catch (undoError) {
    const words = `${messageOf(error)}; and then ${messageOf(undoError)}`;
    return { error: new RuntimeError(kindOf(error), words), isUndone: false };
  }
}

async function runStep<C>(
  step: Step<C>,
  context: C,
  signal: AbortSignal,
  options: RunOptions,
): Promise<void> {
  options.faultPoint(`${options.operation}:${step.name}`);
  const mark = options.trail.begin(step.name);
  try {
    await withSpan(`${options.operation} ${step.name}`, {}, async () => step.run(context, signal));
    mark.end();
  } catch (error) {
    mark.end(messageOf(error));
    throw error;
  }
  options.faultPoint(`${options.operation}:${step.name}:done`);
}

function known(
  finished: ReadonlyMap<string, Promise<boolean>>,
  step: string,
  name: string,
): Promise<boolean> {
  const promise = finished.get(name);
  if (promise === undefined) {
    throw new RuntimeError('internal', `step ${step}: comes after ${name}, which is not above it`);
  }
  return promise;
}
