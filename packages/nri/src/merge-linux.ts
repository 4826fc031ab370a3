import { create } from '@bufbuild/protobuf';
import {
  type Container,
  type ContainerAdjustment,
  Field,
  type LinuxContainer,
  type LinuxContainerAdjustment,
  LinuxContainerAdjustmentSchema,
  LinuxContainerSchema,
  type LinuxRdt,
  LinuxRdtSchema,
  type LinuxResources,
  LinuxResourcesSchema,
} from '@gantry/proto/nri';
import { type Claimant, mergeList, mergeMap } from './merge-keyed.ts';
import { resourceItems } from './resource-fields.ts';

/** Fields that are there once, and belong to one plugin as a whole. */
const singles = [
  ['cgroupsPath', Field.CgroupsPath],
  ['oomScoreAdj', Field.OomScoreAdj],
  ['ioPriority', Field.IoPriority],
  ['seccompPolicy', Field.SeccompPolicy],
  ['scheduler', Field.LinuxSched],
] as const satisfies readonly (readonly [keyof LinuxContainerAdjustment, Field])[];

const rdtParts = [
  ['closId', Field.RdtClosID],
  ['schemata', Field.RdtSchemata],
  ['enableMonitoring', Field.RdtEnableMonitoring],
] as const satisfies readonly (readonly [keyof LinuxRdt, Field])[];

/** The part of an adjustment that only Linux has. Throws as `MergedAdjustment.add`. */
export function mergeLinux(
  who: Claimant,
  wanted: LinuxContainerAdjustment,
  adjust: ContainerAdjustment,
  container: Container,
): void {
  adjust.linux ??= create(LinuxContainerAdjustmentSchema);
  const merged = adjust.linux;
  container.linux ??= create(LinuxContainerSchema);
  const view = container.linux;
  mergeKeyed(who, wanted, merged, view);
  for (const [name, field] of singles) {
    const value = wanted[name];
    if (value !== undefined && value !== '') {
      who.owners.claim(who.containerId, { field }, who.plugin);
      Object.assign(merged, { [name]: value });
      Object.assign(view, { [name]: value });
    }
  }
  if (wanted.memoryPolicy !== undefined) {
    who.owners.claim(who.containerId, { field: Field.MemoryPolicy }, who.plugin);
    merged.memoryPolicy = wanted.memoryPolicy;
  }
  if (wanted.rdt !== undefined) {
    mergeRdt(who, wanted.rdt, merged, view);
  }
  if (wanted.resources !== undefined) {
    mergeResources(who, wanted.resources, merged, view);
  }
}

function mergeKeyed(
  who: Claimant,
  wanted: LinuxContainerAdjustment,
  merged: LinuxContainerAdjustment,
  view: LinuxContainer,
): void {
  const pathOf = ({ path }: { readonly path: string }): string => path;
  mergeList(who, { field: Field.Devices, keyOf: pathOf }, wanted.devices, merged.devices, {
    list: view.devices,
    keyOf: pathOf,
    of: (device) => device,
  });
  const typeOf = ({ type }: { readonly type: string }): string => type;
  const namespaces = { field: Field.Namespace, keyOf: typeOf, removalClaims: true };
  mergeList(who, namespaces, wanted.namespaces, merged.namespaces, {
    list: view.namespaces,
    keyOf: typeOf,
    of: (namespace) => namespace,
  });
  mergeMap(who, Field.Sysctl, wanted.sysctl, merged.sysctl, view.sysctl);
  mergeMap(who, Field.LinuxNetDevices, wanted.netDevices, merged.netDevices, view.netDevices);
}

function mergeRdt(
  { plugin, containerId, owners }: Claimant,
  wanted: LinuxRdt,
  merged: LinuxContainerAdjustment,
  view: LinuxContainer,
): void {
  if (wanted.remove) {
    for (const [, field] of rdtParts) {
      owners.clear(containerId, { field }, plugin);
    }
    merged.rdt = create(LinuxRdtSchema, { remove: true });
    delete view.rdt;
  }
  for (const [name, field] of rdtParts) {
    const value = wanted[name];
    if (value !== undefined) {
      owners.claim(containerId, { field }, plugin);
      merged.rdt ??= create(LinuxRdtSchema);
      Object.assign(merged.rdt, { [name]: value });
      view.rdt ??= create(LinuxRdtSchema);
      Object.assign(view.rdt, { [name]: value });
    }
  }
}

function mergeResources(
  { plugin, containerId, owners }: Claimant,
  wanted: LinuxResources,
  merged: LinuxContainerAdjustment,
  view: LinuxContainer,
): void {
  merged.resources ??= create(LinuxResourcesSchema);
  const into = merged.resources;
  view.resources ??= create(LinuxResourcesSchema);
  const seen = view.resources;
  for (const { where, put } of resourceItems(wanted)) {
    owners.claim(containerId, where, plugin);
    put(into);
    put(seen);
  }
  into.devices.push(...wanted.devices);
  seen.devices.push(...wanted.devices);
}
