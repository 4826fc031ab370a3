import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'smol-toml';
import { parseDurationMs } from './go-duration.ts';
import { importContainerdConfig } from './import-containerd.ts';

/** As plain objects: the parser gives them no prototype. */
function read(toml: string): unknown {
  return structuredClone(parse(toml));
}

const containerd1 = `
version = 2
root = "/var/lib/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins]
  [plugins."io.containerd.gc.v1.scheduler"]
    pause_threshold = 0.02
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry.k8s.io/pause:3.6"
    stream_server_address = "127.0.0.1"
    stream_server_port = "10010"
    stream_idle_timeout = "4h0m0s"
    enable_tls_streaming = true
    max_concurrent_downloads = 5
    max_container_log_line_size = 16384
    device_ownership_from_security_context = true
    enable_selinux = false
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/opt/cni/bin"
      conf_dir = "/etc/cni/net.d"
      max_conf_num = 1
    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "nvidia"
      snapshotter = "overlayfs"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
        runtime_type = "io.containerd.runc.v2"
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
          SystemdCgroup = true
          BinaryName = ""
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
        runtime_type = "io.containerd.runc.v2"
        privileged_without_host_devices = true
        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
          BinaryName = "/usr/bin/nvidia-container-runtime"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
        runtime_type = "io.containerd.kata.v2"
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d:/etc/docker/certs.d"
    [plugins."io.containerd.grpc.v1.cri".x509_key_pair_streaming]
      tls_cert_file = "/pki/cert.pem"
      tls_key_file = "/pki/key.pem"
`;

test('a config of containerd 1.x is translated', () => {
  assert.deepEqual(read(importContainerdConfig(containerd1)), {
    default_runtime: 'nvidia',
    runtimes: {
      runc: { path: 'runc', systemd_cgroup: true },
      nvidia: {
        path: '/usr/bin/nvidia-container-runtime',
        systemd_cgroup: false,
        privileged_without_host_devices: true,
      },
    },
    images: { registry_config_path: '/etc/containerd/certs.d', max_concurrent_downloads: 5 },
    cni: { conf_dir: '/etc/cni/net.d', bin_dirs: ['/opt/cni/bin'] },
    pods: {
      sandbox_image: 'registry.k8s.io/pause:3.6',
      device_ownership_from_security_context: true,
      selinux: false,
    },
    streaming: {
      host: '127.0.0.1',
      port: 10010,
      idle_timeout_ms: 14_400_000,
      tls_cert_file: '/pki/cert.pem',
      tls_key_file: '/pki/key.pem',
    },
  });
});

test('what has no counterpart is told in comments, and nothing else is', () => {
  const text = importContainerdConfig(containerd1);
  assert.deepEqual(text.slice(text.indexOf('# Not translated')).trimEnd().split('\n'), [
    '# Not translated:',
    '#   runtime kata of type io.containerd.kata.v2: only OCI runtimes are driven',
    '#   registry.config_path = "/etc/containerd/certs.d:/etc/docker/certs.d": only the first directory is used',
    '#   max_container_log_line_size = 16384: conmon splits lines of logs at 8192 bytes',
    '#   plugins."io.containerd.grpc.v1.cri".containerd.snapshotter = "overlayfs"',
    `#   containerd's own sections: root, grpc, plugins."io.containerd.gc.v1.scheduler"`,
  ]);
});

test('a config of containerd 2.x, with its three plugins, is translated', () => {
  const text = importContainerdConfig(`
version = 3
[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  max_concurrent_downloads = 3
  image_pull_progress_timeout = '5m0s'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = 'registry.k8s.io/pause:3.10'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '/etc/containerd/certs.d'
[plugins.'io.containerd.cri.v1.runtime']
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = false
  drain_exec_sync_io_timeout = '10s'
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'crun'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.crun]
      runtime_type = 'io.containerd.runc.v2'
      sandboxer = 'podsandbox'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.crun.options]
        BinaryName = '/usr/bin/crun'
        SystemdCgroup = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/opt/cni/bin', '/usr/lib/cni']
    conf_dir = '/etc/cni/net.d'
[plugins.'io.containerd.grpc.v1.cri']
  disable_tcp_service = true
  stream_server_address = '127.0.0.1'
  stream_server_port = '0'
`);
  assert.deepEqual(read(text), {
    default_runtime: 'crun',
    runtimes: { crun: { path: '/usr/bin/crun', systemd_cgroup: true } },
    images: {
      registry_config_path: '/etc/containerd/certs.d',
      max_concurrent_downloads: 3,
      pull_progress_timeout_ms: 300_000,
    },
    cni: { conf_dir: '/etc/cni/net.d', bin_dirs: ['/opt/cni/bin', '/usr/lib/cni'] },
    pods: {
      sandbox_image: 'registry.k8s.io/pause:3.10',
      enable_unprivileged_ports: true,
      enable_unprivileged_icmp: false,
    },
    streaming: { host: '127.0.0.1', port: 0, drain_exec_sync_io_timeout_ms: 10_000 },
  });
  assert.match(text, /Not translated:\n.*snapshotter = "overlayfs"\n$/);
});

test('one systemd_cgroup for all handlers, under the short plugin name, is understood', () => {
  const text = importContainerdConfig(`
[plugins.cri]
  systemd_cgroup = true
  [plugins.cri.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v1"
`);
  assert.deepEqual(read(text), {
    default_runtime: 'runc',
    runtimes: { runc: { path: 'runc', systemd_cgroup: true } },
  });
});

test('credentials of registries are taken over, in both their forms', () => {
  const pair = Buffer.from('u:p:q').toString('base64');
  const text = importContainerdConfig(`
version = 2
[plugins."io.containerd.grpc.v1.cri".registry.configs."lab.example:5000".auth]
username = "a"
password = "b"
[plugins."io.containerd.grpc.v1.cri".registry.configs."other.example".auth]
auth = "${pair}"
`);
  assert.deepEqual(read(text), {
    images: {
      credentials: {
        'lab.example:5000': { username: 'a', password: 'b' },
        'other.example': { username: 'u', password: 'p:q' },
      },
    },
  });
  assert.ok(!text.includes('registry.configs'), text);
});

test('what containerd says of NRI is taken over, with the default validator', () => {
  const text = importContainerdConfig(`
version = 3
[plugins."io.containerd.nri.v1.nri"]
disable = false
disable_connections = true
socket_path = "/x/nri.sock"
plugin_path = "/x/plugins"
plugin_config_path = "/x/conf.d"
plugin_registration_timeout = "7s"
plugin_request_timeout = "1500ms"
[plugins."io.containerd.nri.v1.nri".default_validator]
enable = true
reject_sysctl_adjustment = true
required_plugins = ["a"]
`);
  assert.deepEqual(read(text), {
    nri: {
      enabled: true,
      accept_connections: false,
      socket: '/x/nri.sock',
      plugin_path: '/x/plugins',
      plugin_config_path: '/x/conf.d',
      plugin_registration_timeout_ms: 7000,
      plugin_request_timeout_ms: 1500,
      default_validator: {
        enabled: true,
        reject_sysctl_adjustment: true,
        required_plugins: ['a'],
      },
    },
  });
  assert.ok(!text.includes('Not translated'), text);
});

test('an empty config of containerd gives one that is accepted', () => {
  assert.deepEqual(read(importContainerdConfig('')), {});
});

test('a default runtime that is not driven is told, and another stands in', () => {
  const text = importContainerdConfig(`
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "kata"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
runtime_type = "io.containerd.kata.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`);
  assert.equal(parse(text)['default_runtime'], 'runc');
  assert.match(text, /default_runtime_name = "kata": it is not among the runtimes above/);
});

test('what is no TOML, or a value that we refuse, is an error', () => {
  assert.throws(() => importContainerdConfig('= 1'), {
    kind: 'invalid-argument',
    message: "parse containerd's config",
  });
  const relative = '[plugins."io.containerd.grpc.v1.cri".cni]\nconf_dir = "net.d"\n';
  assert.throws(() => importContainerdConfig(relative), /cni\.conf_dir: must be an absolute path/);
});

test('durations are read as Go writes them', () => {
  const cases = {
    '4h0m0s': 14_400_000,
    '1.5s': 1500,
    '100ms': 100,
    '0': 0,
    '0s': 0,
    '2m3s': 123_000,
  };
  for (const [text, ms] of Object.entries(cases)) {
    assert.equal(parseDurationMs(text), ms, text);
  }
  for (const text of ['', '5', 'fast', '3 s']) {
    assert.equal(parseDurationMs(text), undefined, text);
  }
});

for (const [text, expected] of [
  ['cdi_spec_dirs = ["/etc/cdi"]', { cdi_spec_dirs: ['/etc/cdi'] }],
  ['enable_cdi = false\ncdi_spec_dirs = ["/etc/cdi"]', { cdi_spec_dirs: [] }],
  [
    'enable_cdi = true\nignore_image_defined_volumes = true',
    { ignore_image_defined_volumes: true },
  ],
] as const) {
  test(`${text.replace('\n', ', ')} is translated`, () => {
    const imported = importContainerdConfig(
      `version = 2\n[plugins."io.containerd.grpc.v1.cri"]\n${text}\n`,
    );
    assert.deepEqual(read(imported), { pods: expected });
    assert.doesNotMatch(imported, /Not translated/);
  });
}

test('a setting of another type than it should have is taken where it can be, and else told', () => {
  const text = importContainerdConfig(`version = 2
[plugins."io.containerd.grpc.v1.cri"]
stream_server_port = 10010
sandbox_image = 3
enable_selinux = "yes"
`);
  assert.match(text, /^port = 10010$/m);
  assert.match(text, /^# +plugins\."io\.containerd\.grpc\.v1\.cri"\.sandbox_image = 3$/m);
  assert.match(text, /^# +plugins\."io\.containerd\.grpc\.v1\.cri"\.enable_selinux = "yes"$/m);
});

test('mirrors in the file are told with where they belong', () => {
  const text = importContainerdConfig(`version = 2
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
endpoint = ["https://mirror.example"]
`);
  assert.match(text, /^# +registry: mirrors and TLS of a host belong in hosts\.toml/m);
  assert.match(text, /^# .*mirrors\."docker\.io"\.endpoint = \["https:\/\/mirror\.example"\]$/m);
});
