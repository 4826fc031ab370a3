export {
  openStore,
  type Parameter,
  type RunResult,
  type Statement,
  type Store,
  type StoreOptions,
} from './open-store.ts';
