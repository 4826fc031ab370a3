import {
  array,
  boolean,
  type InferOutput,
  integer,
  literal,
  maxValue,
  minLength,
  minValue,
  number,
  optional,
  picklist,
  pipe,
  record,
  regex,
  strictObject,
  string,
} from 'valibot';
import { described } from './described.ts';

const absolutePath = pipe(string(), regex(/^\//, 'must be an absolute path'));
const httpUrl = pipe(
  string(),
  regex(/^(https?:\/\/[^\s/]+\S*)?$/, 'must be a URL such as http://127.0.0.1:4318'),
);
const count = pipe(number(), integer(), minValue(0));
const atLeastOne = pipe(number(), integer(), minValue(1));
const port = pipe(number(), integer(), minValue(0), maxValue(65_535));
const name = pipe(string(), regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i, 'must be a plain name'));

const runtime = strictObject({
  type: described(
    'How the handler is driven: "oci" is an OCI runtime binary under conmon.',
    optional(literal('oci'), 'oci'),
  ),
  path: described(
    'The binary: a path, or a name that is looked up in PATH; empty means the name of the handler.',
    optional(string(), ''),
  ),
  systemd_cgroup: described(
    "Let systemd make the cgroups; must agree with the kubelet's cgroupDriver.",
    optional(boolean(), false),
  ),
  privileged_without_host_devices: described(
    'Privileged containers of this handler get no host devices.',
    optional(boolean(), false),
  ),
});

const grpc = strictObject({
  socket: described(
    'Where kubelet and crictl connect.',
    optional(absolutePath, '/run/gantry/gantry.sock'),
  ),
  max_message_bytes: described(
    'The largest message in either direction, in bytes.',
    optional(atLeastOne, 64 << 20),
  ),
});

const admin = strictObject({
  enabled: described('Serve /metrics, /healthz and /readyz over HTTP.', optional(boolean(), true)),
  host: described(
    'The address; keep it on loopback unless something guards it.',
    optional(string(), '127.0.0.1'),
  ),
  port: described('The port; 0 takes a free one.', optional(port, 9310)),
});

const log = strictObject({
  level: described(
    'The least level that the services log.',
    optional(picklist(['trace', 'debug', 'info', 'warn', 'error']), 'info'),
  ),
});

const tracing = strictObject({
  otlp_endpoint: described(
    'An OTLP/HTTP endpoint such as http://127.0.0.1:4318, with /v1/traces where it has no path; empty sends nothing.',
    optional(httpUrl, ''),
  ),
  keep_traces: described(
    'How many traces stay on the node for `gantry trace`; 0 keeps none.',
    optional(count, 1000),
  ),
});

const nats = strictObject({
  url: described(
    'An existing server, such as nats://10.0.0.5:4222; empty lets `gantry up` start one.',
    optional(string(), ''),
  ),
  host: described(
    'Where the server that `gantry up` starts listens.',
    optional(string(), '127.0.0.1'),
  ),
  port: described('The port of that server.', optional(port, 4242)),
  path: described('The server binary that `gantry up` starts.', optional(string(), 'nats-server')),
  credentials_dir: described(
    'Directory of one credential file per service; empty means <state_dir>/nats.',
    optional(string(), ''),
  ),
});

const credentials = strictObject({
  username: described('The name at the registry.', optional(string(), '')),
  password: described('Its password.', optional(string(), '')),
  identity_token: described(
    "A token that is traded for others at the registry's token server.",
    optional(string(), ''),
  ),
  registry_token: described('A bearer token for the registry itself.', optional(string(), '')),
});

const limits = strictObject({
  max_layer_bytes: described(
    'The largest layer, in bytes when uncompressed.',
    optional(atLeastOne, 256 * 2 ** 30),
  ),
  max_layer_ratio: described(
    'A layer of more than 1 GiB, zeros apart, may be so many times as large as its compressed bytes.',
    optional(atLeastOne, 200),
  ),
  max_layer_entries: described(
    'Files, directories and links of one layer.',
    optional(atLeastOne, 4_000_000),
  ),
  max_layer_depth: described(
    'Directories in one another, in the path of an entry of a layer.',
    optional(atLeastOne, 1024),
  ),
  max_header_bytes: described(
    'The names and attributes of one entry of a layer (a PAX header), in bytes; at most 1 GiB.',
    optional(pipe(atLeastOne, maxValue(2 ** 30)), 1 << 20),
  ),
});

const images = strictObject({
  registry_config_path: described(
    "Directory of <host>/hosts.toml files in containerd's format; read at each pull.",
    optional(string(), '/etc/containerd/certs.d'),
  ),
  docker_config: described(
    "A config.json of docker's whose `auths` serve pulls that bring no credentials; read at each pull; empty means none.",
    optional(string(), ''),
  ),
  credentials: described(
    'Credentials for pulls that bring none, a table for each registry: [images.credentials."registry.example:5000"]. They go before those of docker_config. Keep the file unreadable to others.',
    optional(record(pipe(string(), minLength(1)), credentials), {}),
  ),
  import_dir: described(
    'Archives and OCI layouts in this directory are imported when the service starts; empty means none.',
    optional(string(), ''),
  ),
  layer_store: described(
    'How layers are kept: "erofs" (Linux 6.12), "directories" (any), or "auto": erofs where a probe at start mounts one.',
    optional(picklist(['auto', 'erofs', 'directories']), 'auto'),
  ),
  max_concurrent_downloads: described(
    'Layers of one image that are downloaded at once.',
    optional(atLeastOne, 3),
  ),
  unpack_workers: described(
    'Layers that are unpacked at once on this node; 0 means one per CPU.',
    optional(count, 0),
  ),
  resume_min_bytes: described(
    'Of layers of so many compressed bytes or more, what has come is kept on disk until they are whole, so that a pull after a restart goes on where it broke off; 0 keeps none.',
    optional(count, 64 << 20),
  ),
  limits: described('What a layer may ask of the node.', optional(limits, {})),
  keep_compressed_layers: described(
    'Keep layers also as they came, so that an export has the same manifest and digests; takes room for each layer twice.',
    optional(boolean(), false),
  ),
  pull_progress_timeout_ms: described(
    'A pull that gets no byte for so long, or less than 1 KiB a second, fails; in milliseconds, 0 never.',
    optional(count, 300_000),
  ),
});

const cni = strictObject({
  conf_dir: described(
    'Directory of the network configurations; the first in name order is used.',
    optional(absolutePath, '/etc/cni/net.d'),
  ),
  bin_dirs: described(
    'Where plugin binaries are looked for, in this order.',
    optional(pipe(array(absolutePath), minLength(1)), ['/opt/cni/bin', '/usr/lib/cni']),
  ),
  conf_template: described(
    "A template of a network configuration in containerd's format, filled in when a kubelet tells the node's pod CIDR.",
    optional(string(), ''),
  ),
  timeout_ms: described(
    'One plugin call may take so long, in milliseconds.',
    optional(atLeastOne, 60_000),
  ),
});

const pods = strictObject({
  infra: described(
    'What holds the namespaces of a pod: "pause" is a container; "none" files alone, except in pods that share their processes.',
    optional(picklist(['pause', 'none']), 'pause'),
  ),
  sandbox_image: described(
    'The image of the pause container. The default is made on the host by `gantry up`.',
    optional(pipe(string(), minLength(1)), 'localhost/gantry/pause:1'),
  ),
  cgroup_parent: described(
    'The cgroup that pods without a cgroup parent go under.',
    optional(absolutePath, '/gantry'),
  ),
  enable_unprivileged_ports: described(
    'Let pods bind ports below 1024 without capabilities.',
    optional(boolean(), true),
  ),
  enable_unprivileged_icmp: described(
    'Let pods send ICMP echo without capabilities.',
    optional(boolean(), true),
  ),
  device_ownership_from_security_context: described(
    'Devices of a container belong to its run_as_user and run_as_group.',
    optional(boolean(), false),
  ),
  cdi_spec_dirs: described(
    'Directories of CDI files, read when a container asks for a CDI device; a later one counts more.',
    optional(array(absolutePath), ['/etc/cdi', '/var/run/cdi']),
  ),
  hooks_dirs: described(
    'Directories of OCI hooks in the format of oci-hooks(5), read for each container; a later one counts more.',
    optional(array(absolutePath), []),
  ),
  selinux: described(
    'Give pods SELinux labels where SELinux is on and its policy has labels for containers. Off: they get none, and what they ask for is of no consequence.',
    optional(boolean(), true),
  ),
  ignore_image_defined_volumes: described(
    'Leave what an image declares as VOLUME in the root file system of the container.',
    optional(boolean(), false),
  ),
  conmon_path: described(
    "Path of conmon, the process that holds a container's stdio and exit status.",
    optional(string(), 'conmon'),
  ),
  nofile_limit: described(
    "The soft and hard limit of open files of a container; 0 takes the service's own.",
    optional(count, 1_048_576),
  ),
});

const streaming = strictObject({
  host: described(
    'Where exec, attach and port-forward URLs point.',
    optional(string(), '127.0.0.1'),
  ),
  port: described('The port of those URLs; 0 takes a free one.', optional(port, 0)),
  idle_timeout_ms: described(
    'A stream without traffic ends after so long, in milliseconds.',
    optional(count, 4 * 60 * 60 * 1000),
  ),
  tls_cert_file: described(
    'Serve over TLS with this certificate; empty means plain HTTP.',
    optional(string(), ''),
  ),
  tls_key_file: described('The key of that certificate.', optional(string(), '')),
  drain_exec_sync_io_timeout_ms: described(
    'After an exec has ended, wait so long for processes that hold its output, in ms; 0 for ever.',
    optional(count, 0),
  ),
});

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

const nri = strictObject({
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

const replicas = strictObject({
  'cri-gateway': described('The gateway owns the socket: there is one.', optional(literal(1), 1)),
  'image-service': described('Instances of image-service.', optional(atLeastOne, 1)),
  'sandbox-service': described('Instances of sandbox-service.', optional(atLeastOne, 1)),
  'stream-server': described('Instances of stream-server.', optional(atLeastOne, 1)),
  'nri-broker': described('The broker owns the plugins: there is one.', optional(literal(1), 1)),
});

const services = strictObject({
  compact: described(
    'Run every service in one process: less memory, less isolation.',
    optional(boolean(), false),
  ),
  replicas: described('How many instances of each service run.', optional(replicas, {})),
});

/** Every key of config.toml, with its default. Checked as a whole by `loadConfig`. */
export const configSchema = strictObject({
  version: described('The version of this file.', optional(literal(1), 1)),
  node_name: described(
    "The node's name on the bus; empty means the host name.",
    optional(string(), ''),
  ),
  root_dir: described(
    'What must survive a reboot: images, records, traces.',
    optional(absolutePath, '/var/lib/gantry'),
  ),
  state_dir: described(
    'What must not: sockets, locks, namespaces, bundles, logs of the services.',
    optional(absolutePath, '/run/gantry'),
  ),
  default_runtime: described('The runtime handler of pods that name none.', optional(name, 'runc')),
  runtimes: described(
    'The runtime handlers, one table each: [runtimes.<handler>].',
    optional(record(name, runtime), { runc: {}, crun: {} }),
  ),
  grpc: described('The CRI socket.', optional(grpc, {})),
  admin: described('The HTTP page for Prometheus and health checks.', optional(admin, {})),
  log: described('The logs of the services.', optional(log, {})),
  tracing: described('What is kept and sent of each request.', optional(tracing, {})),
  nats: described('The bus between the services.', optional(nats, {})),
  images: described('Registries and layers.', optional(images, {})),
  cni: described('Pod networks.', optional(cni, {})),
  pods: described('Pods and containers.', optional(pods, {})),
  streaming: described('Exec, attach and port-forward.', optional(streaming, {})),
  nri: described('Plugins of the Node Resource Interface.', optional(nri, {})),
  services: described('Which processes the stack has.', optional(services, {})),
});

export type Config = Readonly<InferOutput<typeof configSchema>>;
export type RuntimeConfig = Readonly<InferOutput<typeof runtime>>;
