import { RuntimeError } from '@gantry/errors';
import type { Container, PodSandbox } from '@gantry/proto';
import type { CriConnection } from './connection.ts';

const fullId = /^[0-9a-f]{64}$/;

interface Named {
  readonly id: string;
  readonly name: string;
}

/**
 * The full id of the one container that `text` stands for: its id, the beginning of one, or its
 * name. What is not found is given back as it is: the service's own answer is the one to tell.
 * Throws `invalid-argument` when it stands for several.
 */
export async function findContainer(
  cri: CriConnection,
  text: string,
  signal: AbortSignal,
): Promise<string> {
  if (fullId.test(text)) {
    return text;
  }
  const { containers } = await cri.runtime.listContainers({}, { signal });
  return pick('container', containers.map(named), text);
}

/** As `findContainer`, of pods. */
export async function findPod(
  cri: CriConnection,
  text: string,
  signal: AbortSignal,
): Promise<string> {
  if (fullId.test(text)) {
    return text;
  }
  const { items } = await cri.runtime.listPodSandbox({}, { signal });
  return pick('pod', items.map(named), text);
}

function named(object: Container | PodSandbox): Named {
  return { id: object.id, name: object.metadata?.name ?? '' };
}

/** As `findContainer`, of a container or else a pod. */
export async function findEither(
  cri: CriConnection,
  text: string,
  signal: AbortSignal,
): Promise<string> {
  const container = await findContainer(cri, text, signal);
  return container === text ? findPod(cri, text, signal) : container;
}

/** A name wins over the beginning of an id, since a person can't choose ids. */
export function pick(kind: string, objects: readonly Named[], text: string): string {
  const byName = objects.filter((object) => object.name === text);
  const found = byName.length > 0 ? byName : objects.filter((o) => o.id.startsWith(text));
  if (found.length > 1) {
    const ids = found.map((object) => object.id.slice(0, 13)).join(', ');
    throw new RuntimeError(
      'invalid-argument',
      `${kind} "${text}" stands for several: ${ids}. Give more of the id`,
    );
  }
  return found[0]?.id ?? text;
}
