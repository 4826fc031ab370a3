import type { ContainerdSettings } from './containerd-settings.ts';
import { parseDurationMs } from './go-duration.ts';

/** The table of containerd's config that is about NRI. */
export const nriPlugin = ['plugins', 'io.containerd.nri.v1.nri'] as const;

const validatorKeys = [
  'reject_oci_hook_adjustment',
  'reject_runtime_default_seccomp_adjustment',
  'reject_unconfined_seccomp_adjustment',
  'reject_custom_seccomp_adjustment',
  'reject_namespace_adjustment',
  'reject_sysctl_adjustment',
] as const;

/** What containerd's config says of NRI, in our words; nothing where it has no such table. */
export function importNri(settings: ContainerdSettings): Record<string, unknown> {
  const under = (...path: string[]) => [...nriPlugin, ...path];
  const flag = (...path: string[]) => settings.takeBoolean(under(...path));
  const text = (...path: string[]) => settings.takeString(under(...path));
  const duration = (key: string): number | undefined => {
    const value = text(key);
    return value === undefined ? undefined : parseDurationMs(value);
  };
  const disabled = flag('disable');
  const unconnected = flag('disable_connections');
  const validator = defined({
    enabled: flag('default_validator', 'enable'),
    ...Object.fromEntries(validatorKeys.map((key) => [key, flag('default_validator', key)])),
    required_plugins: settings.take(under('default_validator', 'required_plugins')),
    tolerate_missing_plugins_annotation: text(
      'default_validator',
      'tolerate_missing_plugins_annotation',
    ),
  });
  return defined({
    enabled: disabled === undefined ? undefined : !disabled,
    accept_connections: unconnected === undefined ? undefined : !unconnected,
    socket: text('socket_path'),
    plugin_path: text('plugin_path'),
    plugin_config_path: text('plugin_config_path'),
    plugin_registration_timeout_ms: duration('plugin_registration_timeout'),
    plugin_request_timeout_ms: duration('plugin_request_timeout'),
    default_validator: Object.keys(validator).length === 0 ? undefined : validator,
  });
}

function defined(draft: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined));
}
