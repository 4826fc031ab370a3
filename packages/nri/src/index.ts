export { allEvents, eventName, eventsOf, maskOf } from './events.ts';
export { MergedAdjustment } from './merge-adjustment.ts';
export { MergedLimits, MergedUpdates } from './merge-updates.ts';
export { connections, Mux } from './mux.ts';
export { adjustResources, ociResources } from './oci/adjust-resources.ts';
export { type AdjustOptions, adjustSpec } from './oci/adjust-spec.ts';
export { describeResources, describeSpec, type SpecShape } from './oci/describe-spec.ts';
export { type FieldKey, fieldName, type OwnedField, Owners, removedKey } from './owners.ts';
export type { Adjustment, Device, Eviction, Limits, Update } from './plugin/adjustment.ts';
export {
  type CreateResult,
  type DefinedPlugin,
  definePlugin,
  type FailedUpdates,
  type PluginDefinition,
  type PluginHandlers,
  type UpdateResult,
} from './plugin/define-plugin.ts';
export { type RunningPlugin, type RunOptions, runPlugin } from './plugin/run-plugin.ts';
export { checkPluginName, fullNameOf, type PluginName, parsePluginFile } from './plugin-name.ts';
export { synchronizeParts } from './sync-parts.ts';
