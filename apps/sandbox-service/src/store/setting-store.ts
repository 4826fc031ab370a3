import type { Store } from '@gantry/store';

/** Single facts about the node that a client told us. */
export class SettingStore {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  get(key: 'pod_cidr'): string | undefined {
    return this.#store
      .prepare<{ value: string }>('SELECT value FROM settings WHERE key = ?')
      .get(key)?.value;
  }

  set(key: 'pod_cidr', value: string): void {
    this.#store
      .prepare(
        'INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
      )
      .run(key, value);
  }
}
