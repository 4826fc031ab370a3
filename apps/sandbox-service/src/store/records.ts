import { RuntimeError, shownId } from '@gantry/errors';
import { openStore, type Store } from '@gantry/store';
import type { ObjectId } from '../ids.ts';
import { Journal } from '../journal/journal.ts';
import { type Container, ContainerStore } from './container-store.ts';
import { EventStore } from './event-store.ts';
import { findByPrefix } from './find-by-prefix.ts';
import { migrations } from './migrations.ts';
import { NameStore } from './name-store.ts';
import { type Sandbox, SandboxStore } from './sandbox-store.ts';
import { SettingStore } from './setting-store.ts';

/** All that this service writes down, in one file that its instances share. */
export interface Records extends Disposable {
  readonly sandboxes: SandboxStore;
  readonly containers: ContainerStore;
  readonly names: NameStore;
  readonly settings: SettingStore;
  readonly journal: Journal;
  readonly events: EventStore;
  /** Has `listener`, the only one, called when phases have changed here and that is on disk. */
  onChange(listener: () => void): void;
  /** Everything that `fn` writes, or nothing; on disk when this returns. Costs about half a millisecond. */
  commit<T>(fn: () => T): T;
  /** The pod that `text` is the id of, or begins the id of. Throws `invalid-argument` for none or several meant. */
  findSandbox(text: string): Sandbox | undefined;
  /** As `findSandbox`, but throws `not-found`. */
  getSandbox(text: string): Sandbox;
  findContainer(text: string): Container | undefined;
  getContainer(text: string): Container;
}

/** Opens the file at `path`, or makes it. */
export function openRecords(path: string, instance: string): Records {
  const store = openStore(path, { migrations, reserve: true });
  const changes = new Changes();
  const sandboxes = new SandboxStore(store, changes.note);
  const containers = new ContainerStore(store, changes.note);
  const journal = new Journal(store, { instance });
  return {
    sandboxes,
    containers,
    journal,
    events: new EventStore(store, sandboxes, containers),
    onChange: (listener) => {
      changes.listener = listener;
    },
    names: new NameStore(store),
    settings: new SettingStore(store),
    commit: (fn) => store.transaction(fn),
    ...finders(store, sandboxes, containers),
    [Symbol.dispose]() {
      journal[Symbol.dispose]();
      store[Symbol.dispose]();
    },
  };
}

/** Calls its listener once for all changes of a transaction, when that is over. */
class Changes {
  listener: () => void = () => undefined;
  #noted = false;

  readonly note = (): void => {
    if (!this.#noted) {
      this.#noted = true;
      // A transaction is synchronous: this comes after its end.
      queueMicrotask(() => {
        this.#noted = false;
        this.listener();
      });
    }
  };
}

function finders(store: Store, sandboxes: SandboxStore, containers: ContainerStore) {
  const findSandbox = (text: string): Sandbox | undefined =>
    found(findByPrefix(store, 'sandbox', text), (id) => sandboxes.find(id));
  const findContainer = (text: string): Container | undefined =>
    found(findByPrefix(store, 'container', text), (id) => containers.find(id));
  return {
    findSandbox,
    findContainer,
    getSandbox: (text: string) => findSandbox(text) ?? unknownId('sandbox', text),
    getContainer: (text: string) => findContainer(text) ?? unknownId('container', text),
  };
}

function found<T>(id: ObjectId | undefined, find: (id: ObjectId) => T | undefined): T | undefined {
  return id === undefined ? undefined : find(id);
}

function unknownId(what: string, text: string): never {
  throw new RuntimeError('not-found', `${what} ${shownId(text)}: not found`);
}
