import type { Store } from '@gantry/store';

/** What a kubelet told of the node, and the start of the host that the records are of. */
type Key = 'pod_cidr' | 'boot_id';

/** Single facts about the node. */
export class SettingStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get(key: Key): string | undefined {
    return this.#store
      .prepare<{ value: string }>('SELECT value FROM settings WHERE key = ?')
      .get(key)?.value;
  }

  set(key: Key, value: string): void {
    this.#store
      .prepare(
        'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      )
      .run(key, value);
  }
}
