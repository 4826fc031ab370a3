import { create, fromBinary, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import {
  type ContainerConfig,
  ContainerConfigSchema,
  LinuxContainerConfigSchema,
} from '@gantry/proto';
import type { Store } from '@gantry/store';
import type { ObjectId } from '../ids.ts';
import type { ProcessId } from '../ports.ts';
import { type Change, readFacts, writeFacts } from './facts-json.ts';
import { faultOf } from './fault-of.ts';
import type { ImageFacts } from './sandbox-store.ts';
import { readResources } from './updated-resources.ts';

/*
 * A container's life. There is no way back.
 *
 *   creating ──steps done──▶ created ──start──▶ running ──exit──▶ exited
 *      │                      │   └───start failed─────────────▶    │
 *      │ undone               │ removed                     removed │
 *      ▼                      ▼                                     ▼
 *    (gone)                 (gone)                                (gone)
 *
 * A creating container is hidden. When its undo fails it becomes exited, so
 * that a client sees it and asks for its removal again.
 */
export type ContainerPhase = 'creating' | 'created' | 'running' | 'exited';

export type ExitReason = 'Completed' | 'Error' | 'OOMKilled' | 'StartError' | 'Unknown';

/** What is known of a container beside its phase and config. */
export interface ContainerFacts {
  readonly name: string;
  /** Of the whole request: tells a retry from another container of the same name. */
  readonly fingerprint: string;
  /** False when nobody was there any more to be told of it. */
  readonly delivered: boolean;
  readonly handler: string;
  readonly createdAtNanos: bigint;
  readonly startedAtNanos?: bigint;
  readonly finishedAtNanos?: bigint;
  readonly exitCode?: number;
  readonly reason?: ExitReason;
  readonly message?: string;
  /** Absolute; absent discards the log. */
  readonly logPath?: string;
  readonly image?: ImageFacts;
  readonly user?: {
    readonly uid: number;
    readonly gid: number;
    readonly additionalGids: readonly number[];
  };
  /** The number of the signal that a stop begins with. */
  readonly stopSignal?: number;
  /** That signal was sent: it is sent once only. */
  readonly stopSignaled?: boolean;
  readonly cgroupsPath?: string;
  /** The images that its image volumes show, by digest; by the index of the mount. */
  readonly volumeImages?: Readonly<Record<string, string>>;
  /** Holds what it writes to its root; image-service owns it. */
  readonly upperDir?: string;
  /** Made of a checkpoint: its processes go on from there. */
  readonly restored?: boolean;
  readonly init?: ProcessId;
  readonly monitor?: ProcessId;
  /** The OCI runtime may know of it. */
  readonly inRuntime?: boolean;
  /** The limits since UpdateContainerResources, in place of those of the request. */
  readonly resources?: JsonValue;
  /** What NRI plugins know of it: that it is there, or that it has exited. */
  readonly plugins?: 'told' | 'stopped';
  /** Which NRI plugins have set or removed what of it. */
  readonly pluginOwners?: readonly FieldOwner[];
  /** The limits that an update is about to set. */
  readonly pendingResources?: JsonValue;
}

/** As gantry.nri.v1.FieldOwner has it. */
export interface FieldOwner {
  readonly field: string;
  readonly key: string;
  readonly plugin: string;
  readonly action: string;
}

export interface Container {
  readonly id: ObjectId;
  readonly sandboxId: ObjectId;
  readonly phase: ContainerPhase;
  /** As asked for at its creation, with the limits of now. */
  readonly config: ContainerConfig;
  readonly facts: ContainerFacts;
}

/** As the database has it. */
export interface ContainerRow {
  id: ObjectId;
  sandbox_id: ObjectId;
  phase: ContainerPhase;
  config: Uint8Array;
  facts: string;
}

/** A row as it was read last. */
interface Known {
  readonly config: ContainerConfig;
  readonly facts: string;
  readonly container: Container;
}

/**
 * The containers of the node. Whoever writes a container's record holds the
 * lock of its pod; reading takes none.
 */
export class ContainerStore {
  readonly #store: Store;
  readonly #onChange: () => void;
  // The bytes of a config never change, and lists find most facts as they were: reading both anew is the dearest
  // part of a list.
  readonly #known = new Map<string, Known>();

  /** `onChange` is called after each change of a phase, within the transaction. */
  constructor(store: Store, onChange: () => void) {
    this.#store = store;
    this.#onChange = onChange;
  }

  insert(container: Container): void {
    this.#store
      .prepare(
        'INSERT INTO containers (id, sandbox_id, phase, config, facts) VALUES (?, ?, ?, ?, ?)',
      )
      .run(
        container.id,
        container.sandboxId,
        container.phase,
        toBinary(ContainerConfigSchema, container.config),
        writeFacts(container.facts),
      );
  }

  find(id: string): Container | undefined {
    const row = this.#store.prepare<ContainerRow>('SELECT * FROM containers WHERE id = ?').get(id);
    return row === undefined ? undefined : this.decode(row);
  }

  /** Throws `not-found`. */
  get(id: string): Container {
    const container = this.find(id);
    if (container === undefined) {
      throw new RuntimeError('not-found', `container ${id}: not found`);
    }
    return container;
  }

  /** Those being created included. */
  list(): readonly Container[] {
    const rows = this.#store.prepare<ContainerRow>('SELECT * FROM containers').all();
    if (this.#known.size > 2 * rows.length + 64) {
      this.#known.clear();
    }
    return rows.map((row) => this.decode(row));
  }

  ofSandbox(sandboxId: string): readonly Container[] {
    return this.#store
      .prepare<ContainerRow>('SELECT * FROM containers WHERE sandbox_id = ?')
      .all(sandboxId)
      .map((row) => this.decode(row));
  }

  /** Those whose record is broken, and why. */
  unreadable(): readonly { id: ObjectId; sandboxId: ObjectId; error: unknown }[] {
    const rows = this.#store.prepare<ContainerRow>('SELECT * FROM containers').all();
    return rows.flatMap((row) => {
      const error = faultOf(() => this.decode(row, false));
      return error === undefined ? [] : [{ id: row.id, sandboxId: row.sandbox_id, error }];
    });
  }

  /** Without reading their records. */
  idsOf(sandboxId: string): readonly ObjectId[] {
    return this.#store
      .prepare<{ id: ObjectId }>('SELECT id FROM containers WHERE sandbox_id = ?')
      .all(sandboxId)
      .map(({ id }) => id);
  }

  /** How many are in each phase; cheaper than a list. */
  count(): Readonly<Record<ContainerPhase, number>> {
    const counts = { creating: 0, created: 0, running: 0, exited: 0 };
    const rows = this.#store
      .prepare<{ phase: ContainerPhase; n: number }>(
        'SELECT phase, count(*) AS n FROM containers GROUP BY phase',
      )
      .all();
    for (const { phase, n } of rows) {
      counts[phase] = n;
    }
    return counts;
  }

  /** Changes the phase, some facts, or both; an undefined fact is removed. Returns what stands now. */
  update(
    id: string,
    change: { readonly phase?: ContainerPhase; readonly facts?: Change<ContainerFacts> },
  ): Container {
    const old = this.get(id);
    const container: Container = {
      ...old,
      phase: change.phase ?? old.phase,
      facts: { ...old.facts, ...change.facts } as ContainerFacts,
    };
    this.#store
      .prepare('UPDATE containers SET phase = ?, facts = ? WHERE id = ?')
      .run(container.phase, writeFacts(container.facts), id);
    if (container.phase !== old.phase) {
      this.#onChange();
    }
    return container;
  }

  remove(id: string): void {
    this.#store.prepare('DELETE FROM containers WHERE id = ?').run(id);
    this.#known.delete(id);
    this.#onChange();
  }

  /** What a row says; one that was copied elsewhere may be of what is gone, and is not kept. */
  decode(row: ContainerRow, keep = true): Container {
    const known = this.#known.get(row.id);
    if (known?.facts === row.facts && known.container.phase === row.phase) {
      return known.container;
    }
    const config = known?.config ?? fromBinary(ContainerConfigSchema, row.config);
    const facts = readFacts<ContainerFacts>(row.facts);
    const container: Container = {
      id: row.id,
      sandboxId: row.sandbox_id,
      phase: row.phase,
      config: withLimits(config, facts.resources),
      facts,
    };
    if (keep) {
      this.#known.set(row.id, { config, facts: row.facts, container });
    }
    return container;
  }
}

function withLimits(config: ContainerConfig, resources: JsonValue | undefined): ContainerConfig {
  if (resources === undefined) {
    return config;
  }
  const linux = config.linux ?? create(LinuxContainerConfigSchema);
  return { ...config, linux: { ...linux, resources: readResources(resources) } };
}
