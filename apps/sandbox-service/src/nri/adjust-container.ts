import { adjustSpec } from '@gantry/nri';
import type { OciSpec } from '@gantry/oci';
import { parseCdiName } from '@gantry/oci-spec';
import type { ContainerAdjustment } from '@gantry/proto/nri';
import type { Logger } from '@gantry/telemetry';
import type { ContainerWork } from '../containers/container-work.ts';
import { mergeResources } from '../containers/merge-resources.ts';
import type { Handlers } from '../handlers.ts';
import type { Paths } from '../paths.ts';
import { readSpec, writeSpec } from '../pods/pod-steps.ts';
import { withCdiDevices } from '../specs/cdi-devices.ts';
import type { Container } from '../store/container-store.ts';
import { writeResources } from '../store/updated-resources.ts';
import { criResources } from './cri-resources.ts';
import { ownersFor } from './field-owners.ts';
import type { Wanted } from './pending-updates.ts';
import type { PluginBroker } from './plugin-broker.ts';
import { containerMessage, podMessage } from './plugin-messages.ts';
import { refuseUnsupported } from './unsupported.ts';

export interface AdjustContainerDeps {
  readonly broker: Pick<PluginBroker, 'adjustContainer'>;
  readonly paths: Paths;
  readonly log: Pick<Logger, 'warn'>;
  readonly cdiSpecDirs: readonly string[];
  readonly handlers: Pick<Handlers, 'get'>;
  /** The kernel refuses a lower one than this. */
  readonly lowestOomScoreAdj: number;
}

/**
 * Asks plugins what they want of a container in the making and puts it into its
 * config.json and what is to be its record. `keep` gets what they want of other
 * containers, before anything is changed.
 */
export async function adjustContainer(
  deps: AdjustContainerDeps,
  work: ContainerWork,
  keep: (wanted: Wanted) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { broker, paths } = deps;
  const { container, sandbox } = work;
  const spec = await readSpec(paths, container.id);
  if (sandbox === undefined || spec === undefined) {
    return;
  }
  const { adjust, update, evict, owners } = await broker.adjustContainer(
    {
      pod: await podMessage(paths, sandbox),
      container: await containerMessage(paths, container, work),
    },
    signal,
  );
  if (adjust !== undefined) {
    const handler = deps.handlers.get(sandbox.facts.handler);
    await refuseUnsupported(container.id, adjust, owners, handler);
  }
  await keep({ update, evict, owners });
  const adjusted = adjust && (await writeAdjusted(deps, container, spec, adjust));
  if (work.learnt !== undefined) {
    const pluginOwners = ownersFor(owners, container.id);
    work.learnt = {
      ...work.learnt,
      plugins: 'told',
      ...(pluginOwners.length > 0 && { pluginOwners }),
      ...adjusted,
    };
  }
}

async function writeAdjusted(
  { paths, log, lowestOomScoreAdj, cdiSpecDirs }: AdjustContainerDeps,
  container: Container,
  spec: OciSpec,
  adjust: ContainerAdjustment,
) {
  const devices = adjust.CDIDevices.map(({ name }) => parseCdiName(name, 'adjust.CDI_devices'));
  const withDevices = await withCdiDevices(spec, devices, cdiSpecDirs);
  const adjusted = adjustSpec(withDevices, adjust, { injectDevices: (injected) => injected });
  const { oomScoreAdj } = adjusted.process;
  if (oomScoreAdj !== undefined && oomScoreAdj < lowestOomScoreAdj) {
    log.warn(
      { container: container.id, wanted: oomScoreAdj, lowest: lowestOomScoreAdj },
      'the kernel allows no lower OOM score than this',
    );
    adjusted.process.oomScoreAdj = lowestOomScoreAdj;
  }
  await writeSpec(paths, container.id, adjusted);
  const { resources } = adjust.linux ?? {};
  const { cgroupsPath } = adjusted.linux;
  return {
    ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
    ...(resources && {
      resources: writeResources(
        mergeResources(container.config.linux?.resources, criResources(resources)),
      ),
    }),
  };
}
