import assert from 'node:assert/strict';
import { type ErrorKind, kindOf, messageOf } from '@gantry/errors';
import { removePod } from '../harness/pod.ts';
import type { Stack } from '../harness/stack.ts';
import type { Fixture } from './fixture.ts';

/** What is said of a request that is refused. */
export interface Refusal {
  readonly kind: ErrorKind;
  readonly message: RegExp;
}

/** A request that no sane client sends, and what must come of it. */
export interface BadRequest {
  /** The method's name in the generated client. */
  readonly rpc: string;
  readonly what: string;
  readonly call: (fixture: Fixture) => Promise<unknown>;
  /** A refusal, or what the answer must be where the CRI wants none. */
  readonly expected: Refusal | ((answer: unknown) => void);
}

/** A value of an enum that is none: protobuf carries it all the same. */
export const unheardOf = <T>(): T => 42 as T;

export const invalid = (message: RegExp): Refusal => ({ kind: 'invalid-argument', message });
export const notFound = (message: RegExp): Refusal => ({ kind: 'not-found', message });
export const notNow = (message: RegExp): Refusal => ({ kind: 'failed-precondition', message });
/** The CRI wants a success: Stop and Remove of what is not there. */
export const accepted = (): void => undefined;
/** For lists: nothing is found, which is no error. */
export const empty = (answer: unknown): void => {
  const lists = Object.values(answer as object).filter(Array.isArray);
  assert.ok(lists.length > 0 || Array.isArray(answer));
  assert.deepEqual(Array.isArray(answer) ? answer : lists.flat(), []);
};

/**
 * Sends a request and gives what is wrong with what came of it, one line each: another answer than expected, or
 * anything that changed in the records. Takes away again what it should not have made.
 */
export async function faultsOf(row: BadRequest, fixture: Fixture): Promise<readonly string[]> {
  const { stack } = fixture;
  const before = await recordsOf(stack);
  const wrong = await wrongAnswer(row, fixture);
  const after = await recordsOf(stack);
  const changed = difference(before, after);
  for (const id of after.pods.keys()) {
    if (!before.pods.has(id)) {
      await removePod(stack, id);
    }
  }
  for (const containerId of after.containers.keys()) {
    if (!before.containers.has(containerId)) {
      await stack.runtime.removeContainer({ containerId });
    }
  }
  return [...wrong, ...changed].map((line) => `${row.rpc}: ${row.what}: ${line}`);
}

async function wrongAnswer({ call, expected }: BadRequest, fixture: Fixture): Promise<string[]> {
  const wanted = typeof expected === 'function' ? '' : `${expected.kind} ${expected.message}`;
  let answer: unknown;
  try {
    answer = await call(fixture);
  } catch (error) {
    const kind = kindOf(error);
    const message = messageOf(error);
    if (
      typeof expected !== 'function' &&
      kind === expected.kind &&
      expected.message.test(message)
    ) {
      return message.length > 4096 ? [`refused in ${message.length} letters`] : [];
    }
    return [`refused with ${kind}: ${message.slice(0, 300)}; wanted ${wanted || 'success'}`];
  }
  if (typeof expected !== 'function') {
    return [`accepted; wanted ${wanted}`];
  }
  try {
    expected(answer);
    return [];
  } catch (error) {
    return [messageOf(error)];
  }
}

interface Records {
  readonly pods: ReadonlyMap<string, string>;
  readonly containers: ReadonlyMap<string, string>;
  readonly images: ReadonlyMap<string, string>;
}

/** What is known, each by id with what could change of it. */
async function recordsOf({ runtime, images }: Stack): Promise<Records> {
  const [{ items }, { containers }, { images: list }] = await Promise.all([
    runtime.listPodSandbox({}),
    runtime.listContainers({}),
    images.listImages({}),
  ]);
  return {
    pods: new Map(items.map((p) => [p.id, String(p.state)])),
    containers: new Map(containers.map((c) => [c.id, String(c.state)])),
    images: new Map(list.map((i) => [i.id, i.repoTags.join()])),
  };
}

function difference(before: Records, after: Records): string[] {
  return (['pods', 'containers', 'images'] as const).flatMap((kind) => {
    const ids = new Set([...before[kind].keys(), ...after[kind].keys()]);
    return [...ids]
      .filter((id) => before[kind].get(id) !== after[kind].get(id))
      .map(
        (id) =>
          `${kind} ${id.slice(0, 12)}: was ${before[kind].get(id)}, is ${after[kind].get(id)}`,
      );
  });
}
