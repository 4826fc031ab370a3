import { create, fromBinary, type JsonValue, toBinary } from '@bufbuild/protobuf';
import { RuntimeError } from '@gantry/errors';
import type { SelinuxLabels } from '@gantry/oci-spec';
import {
  LinuxPodSandboxConfigSchema,
  type PodSandboxConfig,
  PodSandboxConfigSchema,
} from '@gantry/proto';
import type { Store } from '@gantry/store';
import type { ObjectId } from '../ids.ts';
import type { Attachment, ProcessId } from '../ports.ts';
import { type Change, readFacts, writeFacts } from './facts-json.ts';
import { faultOf } from './fault-of.ts';
import { readResources } from './updated-resources.ts';

/*
 * A pod's life. There is no way back.
 *
 *   creating ──all steps done──▶ ready ──pause exits, or a stop begins──▶ notready
 *      │                                                                    │
 *      │ undone                                             all torn down   │
 *      ▼                                                                    ▼
 *    (gone) ◀───────────────────────── removed ────────────────────────  stopped
 *
 * A creating pod is hidden. When its undo fails it becomes notready, so that a
 * client sees it and asks for its removal again.
 */
export type SandboxPhase = 'creating' | 'ready' | 'notready' | 'stopped';

/** The image that a pause or user container was made of, as it was then. */
export interface ImageFacts {
  /** sha256:<hex> of its config. */
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

/** What is known of a pod beside its phase and config. */
export interface SandboxFacts {
  readonly name: string;
  /** Of the whole request: tells a retry from another pod of the same name. */
  readonly fingerprint: string;
  /** False when nobody was there any more to be told of it. */
  readonly delivered: boolean;
  /** As asked for; may be empty. */
  readonly requestedHandler: string;
  /** As chosen. */
  readonly handler: string;
  readonly createdAtNanos: bigint;
  readonly hostNetwork: boolean;
  /** What holds its namespaces; absent, as in older records, is a pause container. */
  readonly infra?: 'pause' | 'none';
  /** Has a tmpfs of its own for /dev/shm. */
  readonly ownShm: boolean;
  readonly cgroupParent: string;
  /** As config.json has it; known once that is written. */
  readonly cgroupsPath?: string;
  /** What ADD was told, so that DEL is told the same; absent on the network of the host. */
  readonly networkConfig?: unknown;
  readonly attachment?: Attachment;
  readonly image?: ImageFacts;
  /** Where SELinux is on: its level belongs to this pod until it is removed. */
  readonly selinux?: SelinuxLabels;
  readonly pause?: { readonly init: ProcessId; readonly monitor: ProcessId };
  /** NRI plugins know that it has stopped. */
  readonly plugins?: 'stopped';
  /** Since UpdatePodSandboxResources, in place of those of the request. */
  readonly overhead?: JsonValue;
  readonly resources?: JsonValue;
}

export interface Sandbox {
  readonly id: ObjectId;
  readonly phase: SandboxPhase;
  /** As asked for at its creation, with the overhead and resources of now. */
  readonly config: PodSandboxConfig;
  readonly facts: SandboxFacts;
}

/** As the database has it. */
export interface SandboxRow {
  id: ObjectId;
  phase: SandboxPhase;
  config: Uint8Array;
  facts: string;
}

/** A row as it was read last. */
interface Known {
  readonly config: PodSandboxConfig;
  readonly facts: string;
  readonly sandbox: Sandbox;
}

/**
 * The pods of the node. Whoever writes a pod's record holds the pod's lock;
 * reading takes none.
 */
export class SandboxStore {
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

  insert(sandbox: Sandbox): void {
    this.#store
      .prepare('INSERT INTO sandboxes (id, phase, config, facts) VALUES (?, ?, ?, ?)')
      .run(
        sandbox.id,
        sandbox.phase,
        toBinary(PodSandboxConfigSchema, sandbox.config),
        writeFacts(sandbox.facts),
      );
  }

  find(id: string): Sandbox | undefined {
    const row = this.#store.prepare<SandboxRow>('SELECT * FROM sandboxes WHERE id = ?').get(id);
    return row === undefined ? undefined : this.decode(row);
  }

  /** Throws `not-found`. */
  get(id: string): Sandbox {
    const sandbox = this.find(id);
    if (sandbox === undefined) {
      throw new RuntimeError('not-found', `sandbox ${id}: not found`);
    }
    return sandbox;
  }

  /** Those being created included. */
  list(): readonly Sandbox[] {
    const rows = this.#store.prepare<SandboxRow>('SELECT * FROM sandboxes').all();
    if (this.#known.size > 2 * rows.length + 64) {
      this.#known.clear();
    }
    return rows.map((row) => this.decode(row));
  }

  /** Those whose record is broken, and why. */
  unreadable(): readonly { id: ObjectId; sandboxId: ObjectId; error: unknown }[] {
    const rows = this.#store.prepare<SandboxRow>('SELECT * FROM sandboxes').all();
    return rows.flatMap((row) => {
      const error = faultOf(() => this.decode(row, false));
      return error === undefined ? [] : [{ id: row.id, sandboxId: row.id, error }];
    });
  }

  /** Changes the phase, some facts, or both; an undefined fact is removed. Returns what stands now. */
  update(
    id: string,
    change: { readonly phase?: SandboxPhase; readonly facts?: Change<SandboxFacts> },
  ): Sandbox {
    const old = this.get(id);
    const sandbox: Sandbox = {
      ...old,
      phase: change.phase ?? old.phase,
      facts: { ...old.facts, ...change.facts } as SandboxFacts,
    };
    this.#store
      .prepare('UPDATE sandboxes SET phase = ?, facts = ? WHERE id = ?')
      .run(sandbox.phase, writeFacts(sandbox.facts), id);
    if (sandbox.phase !== old.phase) {
      this.#onChange();
    }
    return sandbox;
  }

  remove(id: string): void {
    this.#store.prepare('DELETE FROM sandboxes WHERE id = ?').run(id);
    this.#known.delete(id);
    this.#onChange();
  }

  /** What a row says; one that was copied elsewhere may be of what is gone, and is not kept. */
  decode(row: SandboxRow, keep = true): Sandbox {
    const known = this.#known.get(row.id);
    if (known?.facts === row.facts && known.sandbox.phase === row.phase) {
      return known.sandbox;
    }
    const config = known?.config ?? fromBinary(PodSandboxConfigSchema, row.config);
    const facts = readFacts<SandboxFacts>(row.facts);
    const sandbox: Sandbox = {
      id: row.id,
      phase: row.phase,
      config: withLimits(config, facts),
      facts,
    };
    if (keep) {
      this.#known.set(row.id, { config, facts: row.facts, sandbox });
    }
    return sandbox;
  }
}

function withLimits(
  config: PodSandboxConfig,
  { overhead, resources }: SandboxFacts,
): PodSandboxConfig {
  if (overhead === undefined && resources === undefined) {
    return config;
  }
  const linux = config.linux ?? create(LinuxPodSandboxConfigSchema);
  return {
    ...config,
    linux: {
      ...linux,
      ...(overhead === undefined ? {} : { overhead: readResources(overhead) }),
      ...(resources === undefined ? {} : { resources: readResources(resources) }),
    },
  };
}
