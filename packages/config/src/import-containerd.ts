import { RuntimeError } from '@gantry/errors';
import { parse, stringify } from 'smol-toml';
import { ContainerdSettings, isTable } from './containerd-settings.ts';
import { tomlValue } from './default-file.ts';
import { parseDurationMs } from './go-duration.ts';
import { importNri, nriPlugin } from './import-nri.ts';
import { completeConfig } from './load-config.ts';

type Draft = Record<string, unknown>;

// containerd 1.x keeps all of CRI in one plugin (under a short name before version 2 of the file); 2.x cut it in three.
const oldPlugins = [
  ['plugins', 'io.containerd.grpc.v1.cri'],
  ['plugins', 'cri'],
] as const;
const runtimePlugins = [['plugins', 'io.containerd.cri.v1.runtime'], ...oldPlugins] as const;
const imagePlugins = [['plugins', 'io.containerd.cri.v1.images'], ...oldPlugins] as const;
const allPlugins = [...runtimePlugins, imagePlugins[0], nriPlugin] as const;
const runcShims = new Set(['io.containerd.runc.v2', 'io.containerd.runc.v1', '']);

/**
 * Translates a config file of containerd 1.x or 2.x into one of Gantry, as text. What has no
 * counterpart stands in comments at its end. Throws `invalid-argument` for what is no TOML or what
 * would not be accepted as our config.
 */
export function importContainerdConfig(text: string): string {
  const root = parseContainerd(text);
  const settings = new ContainerdSettings(root);
  const notes: string[] = [];
  const draft = withoutEmptyTables({
    ...runtimes(settings, notes),
    images: images(settings, notes),
    cni: cni(settings),
    pods: pods(settings, notes),
    streaming: streaming(settings, notes),
    nri: importNri(settings),
  });
  completeConfig(draft);
  if (settings.hasRest(...under(imagePlugins, 'registry'))) {
    notes.push(
      'registry: mirrors and TLS of a host belong in hosts.toml, in a directory of its name below registry_config_path',
    );
  }
  const rest = [
    ...notes,
    ...allPlugins
      .flatMap((prefix) => settings.rest(prefix))
      .map(({ path, value }) => `${path} = ${tomlValue(bigintSafe(value))}`),
    ...elsewhere(root),
  ];
  return [
    '# Translated from a config of containerd by `gantry config import`.',
    '',
    stringify(draft).trimEnd(),
    ...(rest.length === 0 ? [] : ['', '# Not translated:', ...rest.map((line) => `#   ${line}`)]),
    '',
  ].join('\n');
}

function parseContainerd(text: string): Readonly<Record<string, unknown>> {
  try {
    return parse(text);
  } catch (cause) {
    throw new RuntimeError('invalid-argument', "parse containerd's config", { cause });
  }
}

function under(
  plugins: readonly (readonly string[])[],
  ...path: readonly string[]
): (readonly string[])[] {
  return plugins.map((plugin) => [...plugin, ...path]);
}

function runtimes(settings: ContainerdSettings, notes: string[]): Draft {
  const at = (...path: string[]): (readonly string[])[] =>
    under(runtimePlugins, 'containerd', ...path);
  // Before containerd 1.3 one key was for all handlers.
  const systemdForAll = settings.takeBoolean(...under(oldPlugins, 'systemd_cgroup'));
  const handlers: Record<string, Draft> = {};
  for (const name of settings.tables(...at('runtimes'))) {
    const option = (...path: string[]): (readonly string[])[] => at('runtimes', name, ...path);
    const type = settings.takeString(...option('runtime_type')) ?? '';
    if (!runcShims.has(type)) {
      notes.push(`runtime ${name} of type ${type}: only OCI runtimes are driven`);
      continue;
    }
    const path = settings.takeString(...option('options', 'BinaryName'));
    const systemd = settings.takeBoolean(...option('options', 'SystemdCgroup')) ?? systemdForAll;
    const bare = settings.takeBoolean(...option('privileged_without_host_devices'));
    settings.take(...option('sandboxer'), ...option('io_type'), ...option('runtime_root'));
    handlers[name] = {
      // containerd's handler without a binary is runc, whatever its name.
      path: path ?? 'runc',
      systemd_cgroup: systemd ?? false,
      ...(bare === true ? { privileged_without_host_devices: true } : {}),
    };
  }
  const wanted = settings.takeString(...at('default_runtime_name')) ?? 'runc';
  if (Object.keys(handlers).length === 0) {
    return {};
  }
  if (handlers[wanted] === undefined) {
    notes.push(
      `default_runtime_name = ${JSON.stringify(wanted)}: it is not among the runtimes above`,
    );
  }
  const fallback = handlers[wanted] === undefined ? Object.keys(handlers)[0] : wanted;
  return { default_runtime: fallback, runtimes: handlers };
}

function images(settings: ContainerdSettings, notes: string[]): Draft {
  const registryPath = settings.takeString(...under(imagePlugins, 'registry', 'config_path'));
  const dirs = registryPath?.split(':').filter((dir) => dir !== '') ?? [];
  if (dirs.length > 1) {
    notes.push(
      `registry.config_path = ${JSON.stringify(registryPath)}: only the first directory is used`,
    );
  }
  const downloads = settings.take(...under(imagePlugins, 'max_concurrent_downloads'));
  const timeout = settings.takeString(...under(imagePlugins, 'image_pull_progress_timeout'));
  return defined({
    registry_config_path: dirs[0],
    credentials: credentials(settings),
    max_concurrent_downloads: isCount(downloads) && downloads > 0 ? downloads : undefined,
    pull_progress_timeout_ms: durationMs(timeout),
  });
}

/** `registry.configs.<host>.auth` of containerd 1.x, still read by 2.x where no config_path is set. */
function credentials(settings: ContainerdSettings): Draft | undefined {
  const configs = under(imagePlugins, 'registry', 'configs');
  const hosts = settings.tables(...configs).flatMap((host) => {
    const text = (key: string) =>
      settings.takeString(...configs.map((path) => [...path, host, 'auth', key]));
    const pair = Buffer.from(text('auth') ?? '', 'base64').toString('utf8');
    const colon = pair.indexOf(':');
    const found = defined({
      username: text('username') ?? (colon > 0 ? pair.slice(0, colon) : undefined),
      password: text('password') ?? (colon > 0 ? pair.slice(colon + 1) : undefined),
      identity_token: text('identitytoken'),
    });
    return Object.keys(found).length === 0 ? [] : [[host, found] as const];
  });
  return hosts.length === 0 ? undefined : Object.fromEntries(hosts);
}

function cni(settings: ContainerdSettings): Draft {
  const confDir = settings.takeString(...under(runtimePlugins, 'cni', 'conf_dir'));
  const binDir = settings.takeString(...under(runtimePlugins, 'cni', 'bin_dir'));
  const binDirs = settings.take(...under(runtimePlugins, 'cni', 'bin_dirs'));
  settings.take(...under(runtimePlugins, 'cni', 'max_conf_num'));
  const dirs = Array.isArray(binDirs) && binDirs.length > 0 ? (binDirs as unknown[]) : undefined;
  return defined({ conf_dir: confDir, bin_dirs: dirs ?? (binDir && [binDir]) });
}

function pods(settings: ContainerdSettings, notes: string[]): Draft {
  const image = settings.takeString(
    ...under(imagePlugins, 'pinned_images', 'sandbox'),
    ...under(oldPlugins, 'sandbox_image'),
  );
  const ports = settings.takeBoolean(...under(runtimePlugins, 'enable_unprivileged_ports'));
  const icmp = settings.takeBoolean(...under(runtimePlugins, 'enable_unprivileged_icmp'));
  const line = settings.take(...under(runtimePlugins, 'max_container_log_line_size'));
  if (line !== undefined) {
    notes.push(
      `max_container_log_line_size = ${JSON.stringify(line)}: conmon splits lines of logs at 8192 bytes`,
    );
  }
  const flag = (key: string) => settings.takeBoolean(...under(runtimePlugins, key));
  const hasCdi = flag('enable_cdi') !== false;
  const cdiDirs = settings.take(...under(runtimePlugins, 'cdi_spec_dirs'));
  return defined({
    sandbox_image: image,
    enable_unprivileged_ports: ports,
    enable_unprivileged_icmp: icmp,
    device_ownership_from_security_context: flag('device_ownership_from_security_context'),
    ignore_image_defined_volumes: flag('ignore_image_defined_volumes'),
    cdi_spec_dirs: hasCdi ? cdiDirs : [],
    selinux: flag('enable_selinux'),
  });
}

function streaming(settings: ContainerdSettings, notes: string[]): Draft {
  const host = settings.takeString(...under(oldPlugins, 'stream_server_address'));
  const port = Number(settings.take(...under(oldPlugins, 'stream_server_port')));
  const idle = settings.takeString(...under(oldPlugins, 'stream_idle_timeout'));
  const drain = settings.takeString(...under(runtimePlugins, 'drain_exec_sync_io_timeout'));
  settings.take(...under(oldPlugins, 'disable_tcp_service'));
  return defined({
    host,
    port: isCount(port) ? port : undefined,
    idle_timeout_ms: durationMs(idle),
    drain_exec_sync_io_timeout_ms: durationMs(drain),
    ...tls(settings, notes),
  });
}

function tls(settings: ContainerdSettings, notes: string[]): Draft {
  const isOn = settings.takeBoolean(...under(oldPlugins, 'enable_tls_streaming')) ?? false;
  const file = (name: string): string | undefined =>
    settings.takeString(...under(oldPlugins, 'x509_key_pair_streaming', name));
  const [cert, key] = [file('tls_cert_file'), file('tls_key_file')];
  if (!isOn) {
    return {};
  }
  if (cert === undefined || key === undefined) {
    notes.push(
      'enable_tls_streaming without x509_key_pair_streaming: name a certificate and a key',
    );
    return {};
  }
  return { tls_cert_file: cert, tls_key_file: key };
}

/** What is not about CRI at all is named by its section, not key by key. */
function elsewhere(root: Readonly<Record<string, unknown>>): string[] {
  const plugins = isTable(root['plugins']) ? Object.keys(root['plugins']) : [];
  const known = new Set(allPlugins.map(([, name]) => name as string));
  const others = plugins.filter((name) => !known.has(name));
  const sections = Object.entries(root)
    .filter(([name, value]) => name !== 'version' && name !== 'plugins' && !isEmpty(value))
    .map(([name]) => name);
  const parts = [...sections, ...others.map((name) => `plugins.${JSON.stringify(name)}`)];
  return parts.length === 0 ? [] : [`containerd's own sections: ${parts.join(', ')}`];
}

function isEmpty(value: unknown): boolean {
  return (
    value === '' ||
    value === 0 ||
    (Array.isArray(value) && value.length === 0) ||
    (isTable(value) && Object.keys(value).length === 0)
  );
}

function durationMs(text: string | undefined): number | undefined {
  return text === undefined ? undefined : parseDurationMs(text);
}

function withoutEmptyTables(draft: Draft): Draft {
  return Object.fromEntries(Object.entries(draft).filter(([, value]) => !isEmpty(value)));
}

/** Without the keys that have no value. */
function defined(draft: Draft): Draft {
  return Object.fromEntries(Object.entries(draft).filter(([, value]) => value !== undefined));
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function bigintSafe(value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}
