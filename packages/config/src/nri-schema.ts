import { array, boolean, optional, strictObject, string } from 'valibot';
import { described } from './described.ts';
import { absolutePath, atLeastOne } from './values.ts';

const nriValidator = strictObject({
  enabled: described(
    'Have the rules below checked for each container that plugins adjust.',
    optional(boolean(), false),
  ),
  reject_oci_hook_adjustment: described(
    'Plugins may add no OCI hooks.',
    optional(boolean(), false),
  ),
  reject_runtime_default_seccomp_adjustment: described(
    'Plugins may not change the seccomp policy of containers with the default one.',
    optional(boolean(), false),
  ),
  reject_unconfined_seccomp_adjustment: described(
    'Plugins may not give a seccomp policy to unconfined containers.',
    optional(boolean(), false),
  ),
  reject_custom_seccomp_adjustment: described(
    'Plugins may not change the seccomp policy of containers with one of their own.',
    optional(boolean(), false),
  ),
  reject_namespace_adjustment: described(
    'Plugins may not change namespaces.',
    optional(boolean(), false),
  ),
  reject_sysctl_adjustment: described(
    'Plugins may not change sysctls.',
    optional(boolean(), false),
  ),
  required_plugins: described(
    'Names of plugins without which no container is created.',
    optional(array(string()), []),
  ),
  tolerate_missing_plugins_annotation: described(
    'A pod whose annotation of this name is "true" needs none of them; empty means no pod.',
    optional(string(), ''),
  ),
});

/** NRI plugins, and the rules that they are held to. */
export const nri = strictObject({
  enabled: described(
    'Let NRI plugins watch and adjust pods and containers.',
    optional(boolean(), false),
  ),
  socket: described('Where plugins connect.', optional(absolutePath, '/var/run/nri/nri.sock')),
  accept_connections: described(
    'Listen there; without it only the plugins of plugin_path run.',
    optional(boolean(), true),
  ),
  plugin_path: described(
    'Directory of plugins that Gantry starts itself, named <two digits>-<name>.',
    optional(absolutePath, '/opt/nri/plugins'),
  ),
  plugin_config_path: described(
    'Directory of their configurations: <two digits>-<name>.conf or <name>.conf.',
    optional(absolutePath, '/etc/nri/conf.d'),
  ),
  plugin_registration_timeout_ms: described(
    'A plugin must register within so long of its start, in milliseconds.',
    optional(atLeastOne, 5000),
  ),
  plugin_request_timeout_ms: described(
    'A plugin that has not answered an event after so long is dropped, in milliseconds.',
    optional(atLeastOne, 2000),
  ),
  plugin_sync_timeout_ms: described(
    'How long a plugin may take to learn what is there when it comes, in milliseconds.',
    optional(atLeastOne, 10_000),
  ),
  default_validator: described('Rules for what plugins may do.', optional(nriValidator, {})),
});
