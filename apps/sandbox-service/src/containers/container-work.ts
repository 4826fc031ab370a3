import type { PreparedRoot, ProcessId } from '../ports.ts';
import type { Container, ContainerFacts } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import type { DeclaredVolume } from './declared-volumes.ts';
import type { MountedImage } from './image-volumes.ts';

/** A container in the making. Undo needs the id of `container` alone. */
export interface ContainerWork {
  readonly container: Container;
  readonly sandbox?: Sandbox;
  root?: PreparedRoot;
  images?: ReadonlyMap<number, MountedImage>;
  declared?: readonly DeclaredVolume[];
  /** What its spec told of it. */
  learnt?: Pick<
    ContainerFacts,
    | 'user'
    | 'stopSignal'
    | 'cgroupsPath'
    | 'volumeImages'
    | 'resources'
    | 'plugins'
    | 'pluginOwners'
  >;
}

/** A container that is being started. Undo needs `container` alone. */
export interface StartWork {
  readonly container: Container;
  init?: ProcessId;
  monitor?: ProcessId;
  startedAtNanos?: bigint;
}
