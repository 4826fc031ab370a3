/** The side of a plugin: all that its author needs. */
export type { Container, LinuxResources, PodSandbox } from '@gantry/proto/nri';
export type { Adjustment, Device, Eviction, Limits, Update } from './adjustment.ts';
export {
  type CreateResult,
  type DefinedPlugin,
  definePlugin,
  type FailedUpdates,
  type PluginDefinition,
  type PluginHandlers,
  type UpdateResult,
} from './define-plugin.ts';
export { type PluginState, type RunningPlugin, type RunOptions, runPlugin } from './run-plugin.ts';
