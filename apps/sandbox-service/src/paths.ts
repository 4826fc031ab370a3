import { join } from 'node:path';

/**
 * Where everything of this service lies, by id alone: what a crash left behind
 * is found again without asking any record.
 */
export class Paths {
  readonly #state: string;
  readonly records: string;

  constructor(config: { readonly root_dir: string; readonly state_dir: string }) {
    this.#state = config.state_dir;
    this.records = join(config.root_dir, 'sandbox', 'records.db');
  }

  get locks(): string {
    return join(this.#state, 'locks');
  }

  get netnses(): string {
    return join(this.#state, 'netns');
  }

  get sandboxes(): string {
    return join(this.#state, 'sandboxes');
  }

  get bundles(): string {
    return join(this.#state, 'containers');
  }

  /** Instances wake each other through it when there are new events. */
  get events(): string {
    return join(this.#state, 'events');
  }

  lock(sandboxId: string): string {
    return join(this.locks, `${sandboxId}.lock`);
  }

  netns(sandboxId: string): string {
    return join(this.netnses, sandboxId);
  }

  /** One directory for each pod that has no pause container. */
  get pinned(): string {
    return join(this.#state, 'pins');
  }

  /** Where namespaces of a pod are pinned, but for its network: that has a place of its own. */
  pins(sandboxId: string): string {
    return join(this.pinned, sandboxId);
  }

  pin(sandboxId: string, kind: 'ipc' | 'uts'): string {
    return join(this.pins(sandboxId), kind);
  }

  /** Where the sysfs of a pod's network is kept writable. */
  podSysfs(sandboxId: string): string {
    return join(this.pins(sandboxId), 'sys');
  }

  /** hostname, hosts, resolv.conf and shm of one pod. */
  sandbox(sandboxId: string): string {
    return join(this.sandboxes, sandboxId);
  }

  shm(sandboxId: string): string {
    return join(this.sandbox(sandboxId), 'shm');
  }

  /** The OCI bundle of a container; that of a pause container has the id of its sandbox. */
  bundle(ownerId: string): string {
    return join(this.bundles, ownerId);
  }

  rootfs(ownerId: string): string {
    return join(this.bundle(ownerId), 'rootfs');
  }

  spec(ownerId: string): string {
    return join(this.bundle(ownerId), 'config.json');
  }
}
