import { join } from 'node:path';

/**
 * Where everything of this service lies, by id alone: what a crash left behind
 * is found again without asking any record.
 */
export class Paths {
  readonly #state: string;
  /** A directory a container, for the VOLUMEs of its image: not volatile, as its root is not. */
  readonly volumes: string;
  readonly checkpoints: string;
  readonly records: string;

  constructor(config: { readonly root_dir: string; readonly state_dir: string }) {
    this.#state = config.state_dir;
    this.records = join(config.root_dir, 'sandbox', 'records.db');
    this.volumes = join(config.root_dir, 'sandbox', 'volumes');
    this.checkpoints = join(config.root_dir, 'sandbox', 'checkpoints');
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

  /** What NRI plugins want of other containers and is not done yet: a directory an instance. */
  get pluginUpdates(): string {
    return join(this.#state, 'plugin-updates');
  }

  /** Removals that NRI plugins could not be told of yet: a file each. */
  get pluginRemovals(): string {
    return join(this.#state, 'plugin-removals');
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

  get usernses(): string {
    return join(this.#state, 'userns');
  }

  /** Where the user namespace of a pod is pinned that has one. */
  userns(sandboxId: string): string {
    return join(this.usernses, sandboxId);
  }

  /** What CRIU saved, or is to restore, of one container: its memory, so not volatile. */
  checkpoint(containerId: string): string {
    return join(this.checkpoints, containerId);
  }

  /** Directories of mount points, called `<id>.<kind>`. */
  get mountPoints(): string {
    return join(this.#state, 'mounts');
  }

  /**
   * Mount points of one container: image volumes, host paths with shifted ids,
   * layers with shifted ids. Never below a directory that is removed with all in it.
   */
  mountsOf(ownerId: string, kind: 'images' | 'volumes' | 'layers'): string {
    return join(this.mountPoints, `${ownerId}.${kind}`);
  }

  volumesOf(containerId: string): string {
    return join(this.volumes, containerId);
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
