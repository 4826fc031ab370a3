import {
  array,
  boolean,
  type InferOutput,
  literal,
  minLength,
  optional,
  picklist,
  pipe,
  record,
  strictObject,
  string,
} from 'valibot';
import { described } from './described.ts';
import { images } from './images-schema.ts';
import { nri } from './nri-schema.ts';
import { absolutePath, atLeastOne, count, httpUrl, name, port } from './values.ts';

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
