import { printable } from '../output/table.ts';
import { advice } from './advice.ts';

interface Step {
  readonly step: string;
  readonly tookMs?: number;
  readonly error?: string;
}

interface Operation {
  readonly kind: string;
  readonly begunAt: string;
  readonly endedAt: string | null;
  readonly outcome: string | null;
  readonly error: string | null;
  readonly trail: readonly Step[];
}

/** What Diagnostics.Explain answers, as JSON. */
export interface Explanation {
  readonly id: string;
  readonly kind: string;
  readonly phase?: string;
  readonly facts?: {
    readonly exitCode?: number;
    readonly reason?: string;
    readonly message?: string;
    readonly oomKilled?: boolean;
  };
  readonly operations: readonly Operation[];
  /** Of a pod. */
  readonly containers?: readonly ContainerExplanation[];
}

interface ContainerExplanation extends Explanation {
  /** Of one that is there. */
  readonly name?: string;
}

/** Says in plain words how it is with a pod or container, what failed, and what to do. */
export function explanationText(explanation: Explanation): string {
  const { id, kind, phase, operations } = explanation;
  const what = `${kind === 'sandbox' ? 'pod' : kind} ${id.slice(0, 13)}`;
  const state = kind === 'gone' ? `${id.slice(0, 13)} is gone` : `${what} is ${phase ?? 'unknown'}`;
  const troubles = [
    ...troubleLines(troubleOf(explanation), '  '),
    ...containersInTrouble(explanation).flatMap(containerLines),
  ];
  return [
    `${state}${troubles.length === 0 ? ': nothing failed' : ''}`,
    ...troubles,
    '',
    ...operations.flatMap(operationLines),
    '',
  ].join('\n');
}

function troubleLines(trouble: string | undefined, indent: string): string[] {
  if (trouble === undefined) {
    return [];
  }
  const help = advice(trouble);
  return [
    `${indent}why:    ${printable(trouble)}`,
    ...(help === undefined ? [] : [`${indent}to do:  ${help}`]),
  ];
}

/** Those that are there, and the last that could not be made, unless one was made after it. */
function containersInTrouble({ containers = [] }: Explanation): readonly ContainerExplanation[] {
  const live = containers.filter(
    (container) => container.kind !== 'gone' && troubleOf(container) !== undefined,
  );
  const makings = containers.flatMap((container) =>
    container.operations
      .filter(({ kind, outcome }) => kind === 'create-container' && outcome !== null)
      .map(({ begunAt, outcome }) => ({ container, begunAt, outcome })),
  );
  const last = makings.toSorted((a, b) => (a.begunAt < b.begunAt ? -1 : 1)).at(-1);
  const isFailed = last !== undefined && last.outcome !== 'done';
  // One that is there still, as its undoing failed too, is among the live ones.
  return isFailed && last.container.kind === 'gone' ? [...live, last.container] : live;
}

function containerLines(container: ContainerExplanation): string[] {
  const { id, kind, name = '', phase = 'unknown' } = container;
  const what =
    kind === 'gone'
      ? `a container, ${id.slice(0, 13)}, came to nothing`
      : `container ${printable(name)}, ${id.slice(0, 13)}, is ${phase}`;
  return [`  ${what}`, ...troubleLines(troubleOf(container), '    ')];
}

/** The last thing that went wrong: a failed operation, or a bad end. */
function troubleOf({ facts, operations, phase }: Explanation): string | undefined {
  const last = operations.findLast(
    (operation, at) =>
      operation.outcome === null ||
      (operation.outcome !== 'done' && !isOvercome(operation, operations.slice(at + 1), phase)),
  );
  if (last !== undefined) {
    return operationTrouble(last);
  }
  const { exitCode = 0, reason = 'Error', message = '' } = facts ?? {};
  if (exitCode === 0) {
    return undefined;
  }
  const more = message === '' ? '' : `: ${message}`;
  return `its process ended with exit code ${exitCode} (${reason})${more}`;
}

/** It was tried again and went well. Of stops only failures are written down: there the end tells. */
function isOvercome({ kind }: Operation, later: readonly Operation[], phase?: string): boolean {
  return (
    later.some((operation) => operation.kind === kind && operation.outcome === 'done') ||
    (kind === 'stop-container' && phase !== 'running')
  );
}

function operationTrouble({ kind, begunAt, outcome, error, trail }: Operation): string {
  if (outcome === null) {
    const step = trail.at(-1)?.step ?? 'its first step';
    return `${kind} has not ended since ${begunAt}: it is at ${step}`;
  }
  return error ?? `${kind} was cut off: its process died, and another one cleaned up`;
}

function operationLines(operation: Operation): string[] {
  const outcome = operation.outcome ?? 'not ended';
  return [
    `${operation.begunAt}  ${operation.kind}: ${outcome}`,
    ...operation.trail.map(({ step, tookMs, error }) => {
      const took = tookMs === undefined ? 'not ended' : `${tookMs} ms`;
      return `    ${step.padEnd(12)} ${took.padStart(10)}${error === undefined ? '' : `  failed: ${printable(error)}`}`;
    }),
  ];
}
