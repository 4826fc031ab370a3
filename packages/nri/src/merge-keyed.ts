import type { Field } from '@gantry/proto/nri';
import { type Owners, removalOf, removedKey } from './owners.ts';

/** Who asks, of which container, and where it is noted. */
export interface Claimant {
  readonly plugin: string;
  readonly containerId: string;
  readonly owners: Owners;
}

export interface KeyedField<T> {
  readonly field: Field;
  readonly keyOf: (entry: T) => string;
  /** A removal needs the field too: it fails where another plugin has set it. */
  readonly removalClaims?: boolean;
}

/**
 * Merges what one plugin wants of a list whose entries have a key. Removals
 * come first, so that "-k" beside "k" replaces what was there. `merged` keeps
 * the removals, for the container's own entries; `view` is the container.
 */
export function mergeList<T, V>(
  { plugin, containerId, owners }: Claimant,
  { field, keyOf, removalClaims }: KeyedField<T>,
  entries: readonly T[],
  merged: T[],
  view: { readonly list: V[]; readonly keyOf: (entry: V) => string; readonly of: (entry: T) => V },
): void {
  for (const entry of entries) {
    const key = removedKey(keyOf(entry));
    if (key !== undefined) {
      if (removalClaims === true) {
        owners.check(containerId, { field, key }, plugin);
      }
      owners.clear(containerId, { field, key }, plugin);
      drop(merged, (other) => keyOf(other) === key || keyOf(other) === removalOf(key));
      drop(view.list, (other) => view.keyOf(other) === key);
      merged.push(entry);
    }
  }
  for (const entry of entries) {
    const key = keyOf(entry);
    if (removedKey(key) === undefined) {
      owners.claim(containerId, { field, key }, plugin);
      drop(merged, (other) => keyOf(other) === key);
      merged.push(entry);
      const at = view.list.findIndex((other) => view.keyOf(other) === key);
      view.list.splice(at < 0 ? view.list.length : at, at < 0 ? 0 : 1, view.of(entry));
    }
  }
}

/** As `mergeList`, for fields that are maps. */
export function mergeMap<T>(
  { plugin, containerId, owners }: Claimant,
  field: Field,
  entries: Readonly<Record<string, T>>,
  merged: Record<string, T>,
  view: Record<string, T>,
): void {
  for (const [marked, value] of Object.entries(entries)) {
    const key = removedKey(marked);
    if (key !== undefined) {
      owners.clear(containerId, { field, key }, plugin);
      delete merged[key];
      delete view[key];
      merged[marked] = value;
    }
  }
  for (const [key, value] of Object.entries(entries)) {
    if (removedKey(key) === undefined) {
      owners.claim(containerId, { field, key }, plugin);
      merged[key] = value;
      view[key] = value;
    }
  }
}

function drop<T>(list: T[], isGone: (entry: T) => boolean): void {
  list.splice(0, list.length, ...list.filter((entry) => !isGone(entry)));
}
