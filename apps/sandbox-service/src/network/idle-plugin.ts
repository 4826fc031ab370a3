import type { PluginConfig } from './network-config.ts';

/**
 * Whether a chained plugin has nothing to do for a pod, so that its calls can be left out. Known
 * of `portmap` alone: without mappings its ADD prints prevResult and its DEL looks for chains that
 * only an ADD with mappings makes (containernetworking/plugins, plugins/meta/portmap/main.go).
 * That DEL costs several iptables commands. The pod is asked, as it was recorded for ADD, so a pod
 * that had mappings gets its DEL.
 */
export function isIdle(
  plugin: PluginConfig,
  position: number,
  runtimeConfig: Readonly<Record<string, unknown>> | undefined,
): boolean {
  const ownConfig = plugin['runtimeConfig'];
  return (
    plugin.type === 'portmap' &&
    position > 0 &&
    ownConfig === undefined &&
    runtimeConfig?.['portMappings'] === undefined
  );
}
