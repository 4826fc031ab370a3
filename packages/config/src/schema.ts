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

const absolutePath = pipe(string(), regex(/^\//, 'must be an absolute path'));
const count = pipe(number(), integer(), minValue(0));
const atLeastOne = pipe(number(), integer(), minValue(1));
const port = pipe(number(), integer(), minValue(0), maxValue(65_535));
const name = pipe(string(), regex(/^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$/i, 'must be a plain name'));

const runtime = strictObject({
  /** How the handler is driven: `oci` is an OCI runtime binary under conmon. */
  type: optional(literal('oci'), 'oci'),
  /** The binary: a path, or a name that is looked up in PATH. */
  path: optional(string(), ''),
  /** Let systemd make the cgroups instead of the runtime itself. */
  systemd_cgroup: optional(boolean(), false),
  /** Privileged containers of this handler get no host devices. */
  privileged_without_host_devices: optional(boolean(), false),
});

const grpc = strictObject({
  /** Where kubelet and crictl connect. */
  socket: optional(absolutePath, '/run/gantry/gantry.sock'),
  /** The largest message in either direction, in bytes. */
  max_message_bytes: optional(atLeastOne, 64 << 20),
});

const admin = strictObject({
  /** Serve /metrics, /healthz and /readyz over HTTP. */
  enabled: optional(boolean(), true),
  /** The address; keep it on loopback unless something guards it. */
  host: optional(string(), '127.0.0.1'),
  port: optional(port, 9310),
});

const log = strictObject({
  level: optional(picklist(['trace', 'debug', 'info', 'warn', 'error']), 'info'),
});

const tracing = strictObject({
  /** An OTLP/HTTP endpoint such as http://127.0.0.1:4318/v1/traces; empty sends nothing. */
  otlp_endpoint: optional(string(), ''),
  /** How many traces stay on the node for `gantry trace`. */
  keep_traces: optional(count, 1000),
});

const nats = strictObject({
  /** An existing server, such as nats://10.0.0.5:4222; empty lets `gantry up` start one. */
  url: optional(string(), ''),
  /** Where the server that `gantry up` starts listens. */
  host: optional(string(), '127.0.0.1'),
  port: optional(port, 4242),
  /** The server binary that `gantry up` starts. */
  path: optional(string(), 'nats-server'),
  /** Directory of one credential file per service; empty means <state_dir>/nats. */
  credentials_dir: optional(string(), ''),
});

const images = strictObject({
  /** Directory of <host>/hosts.toml files in containerd's format; read at each pull. */
  registry_config_path: optional(string(), '/etc/containerd/certs.d'),
  /** How layers are kept: `auto` probes the kernel at start. */
  layer_store: optional(picklist(['auto', 'directories']), 'auto'),
  /** Layers of one image that are downloaded at once. */
  max_concurrent_downloads: optional(atLeastOne, 3),
  /** Layers that are unpacked at once on this node; 0 means one per CPU. */
  unpack_workers: optional(count, 0),
  /** A pull that gets no byte for so long fails, in milliseconds; 0 never. */
  pull_progress_timeout_ms: optional(count, 300_000),
});

const cni = strictObject({
  /** Directory of the network configurations; the first in name order is used. */
  conf_dir: optional(absolutePath, '/etc/cni/net.d'),
  /** Where plugin binaries are looked for, in this order. */
  bin_dirs: optional(pipe(array(absolutePath), minLength(1)), ['/opt/cni/bin', '/usr/lib/cni']),
  /** One plugin call may take so long, in milliseconds. */
  timeout_ms: optional(atLeastOne, 60_000),
});

const pods = strictObject({
  /** The image of the pause container. The default is made on the host by `gantry up`. */
  sandbox_image: optional(pipe(string(), minLength(1)), 'localhost/gantry/pause:1'),
  /** The cgroup that pods without a cgroup parent go under. */
  cgroup_parent: optional(absolutePath, '/gantry'),
  /** Let pods bind ports below 1024 and send ICMP echo without capabilities. */
  enable_unprivileged_ports: optional(boolean(), true),
  enable_unprivileged_icmp: optional(boolean(), true),
  /** Path of conmon, the process that holds a container's stdio and exit status. */
  conmon_path: optional(string(), 'conmon'),
  /** The longest line of a container's log before it is split, in bytes. */
  max_log_line_bytes: optional(atLeastOne, 16_384),
  /** The soft and hard limit of open files of a container; 0 takes the service's own. */
  nofile_limit: optional(count, 1_048_576),
});

const streaming = strictObject({
  /** Where exec, attach and port-forward URLs point. */
  host: optional(string(), '127.0.0.1'),
  /** 0 takes a free port. */
  port: optional(port, 0),
  /** A stream without traffic ends after so long, in milliseconds. */
  idle_timeout_ms: optional(count, 4 * 60 * 60 * 1000),
  /** Serve over TLS with this certificate and key. */
  tls_cert_file: optional(string(), ''),
  tls_key_file: optional(string(), ''),
  /** After an exec has ended, wait so long for processes that hold its output, in ms; 0 for ever. */
  drain_exec_sync_io_timeout_ms: optional(count, 0),
});

const services = strictObject({
  /** Run every service in one process: less memory, less isolation. */
  compact: optional(boolean(), false),
  /** How many instances of each service run. */
  replicas: optional(
    strictObject({
      'cri-gateway': optional(literal(1), 1),
      'image-service': optional(atLeastOne, 1),
      'sandbox-service': optional(atLeastOne, 1),
      'stream-server': optional(atLeastOne, 1),
    }),
    {},
  ),
});

/** Every key of config.toml, with its default. Checked as a whole by `loadConfig`. */
export const configSchema = strictObject({
  version: optional(literal(1), 1),
  /** The node's name on the bus; empty means the host name. */
  node_name: optional(string(), ''),
  /** What must survive a reboot: images, records, traces. */
  root_dir: optional(absolutePath, '/var/lib/gantry'),
  /** What must not: sockets, locks, namespaces, bundles, logs of the services. */
  state_dir: optional(absolutePath, '/run/gantry'),
  /** The runtime handler of pods that name none. */
  default_runtime: optional(name, 'runc'),
  runtimes: optional(record(name, runtime), { runc: {}, crun: {} }),
  grpc: optional(grpc, {}),
  admin: optional(admin, {}),
  log: optional(log, {}),
  tracing: optional(tracing, {}),
  nats: optional(nats, {}),
  images: optional(images, {}),
  cni: optional(cni, {}),
  pods: optional(pods, {}),
  streaming: optional(streaming, {}),
  services: optional(services, {}),
});

export type Config = Readonly<InferOutput<typeof configSchema>>;
export type RuntimeConfig = Readonly<InferOutput<typeof runtime>>;
