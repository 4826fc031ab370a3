import type { OciResources, OciSpec } from '@gantry/oci';
import type { LinuxContainerResources } from '@gantry/proto';
import type { PreparedRoot } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Sandbox } from '../store/sandbox-store.ts';

/** What of a container's mounts was made for it. */
export interface ContainerVolumes {
  /** Where the image volumes are, by their index in `config.mounts`. */
  readonly images: ReadonlyMap<number, string>;
  /** For the VOLUMEs of its image. */
  readonly declared: readonly { readonly containerPath: string; readonly source: string }[];
}

/** Makes config.json for the bundles of a pod; the root file system is mounted already. */
export interface Specs {
  pause(sandbox: Sandbox, root: PreparedRoot): Promise<OciSpec>;
  /** For a pod without a pause container: throws what `pause` throws for its security context. */
  checkPod(sandbox: Sandbox): Promise<void>;
  /** Throws `invalid-argument` or `failed-precondition` with the field that is at fault. */
  container(
    container: Container,
    sandbox: Sandbox,
    root: PreparedRoot,
    volumes: ContainerVolumes,
  ): Promise<{ readonly spec: OciSpec; readonly stopSignal: number }>;
  /** What config.json has of limits. Throws as `container`. */
  limits(resources: LinuxContainerResources | undefined): Promise<OciResources>;
}
