import { RuntimeError } from '@gantry/errors';
import type { PodSandboxMetadata } from '@gantry/proto';
import type { Store } from '@gantry/store';
import type { ObjectId } from '../ids.ts';

/** What two pods of a node may not share. */
export function sandboxName(metadata: PodSandboxMetadata): string {
  const { name, namespace, uid, attempt } = metadata;
  return ['pod', name, namespace, uid, attempt].join('_');
}

/** What two containers of a node may not share. */
export function containerName(
  container: { readonly name: string; readonly attempt: number },
  pod: PodSandboxMetadata,
): string {
  return ['ctr', container.name, sandboxName(pod), container.attempt].join('_');
}

/** Names in use, each with its owner. A name lives and dies in one transaction with its owner's record. */
export class NameStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  ownerOf(name: string): ObjectId | undefined {
    return this.#store
      .prepare<{ owner: ObjectId }>('SELECT owner FROM names WHERE name = ?')
      .get(name)?.owner;
  }

  /** Throws `already-exists` with the owner's id. */
  reserve(name: string, owner: ObjectId): void {
    const { changes } = this.#store
      .prepare('INSERT INTO names (name, owner) VALUES (?, ?) ON CONFLICT (name) DO NOTHING')
      .run(name, owner);
    if (Number(changes) === 0) {
      throw new RuntimeError(
        'already-exists',
        `name "${name}" is reserved for "${this.ownerOf(name) ?? ''}"`,
      );
    }
  }

  releaseOf(owner: string): void {
    this.#store.prepare('DELETE FROM names WHERE owner = ?').run(owner);
  }
}
