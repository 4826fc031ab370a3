import { type CommandEntry, output } from './entry.ts';

/** What brings Gantry up and down, and the host under it. */
export const stackCommands: readonly CommandEntry[] = [
  {
    name: 'demo',
    about: 'install what is missing, start everything, and run a pod to show it',
    examples: ['demo'],
    load: async () => (await import('../commands/demo.ts')).demo,
  },
  {
    name: 'up',
    about: 'start NATS and every service, and leave them running',
    options: [
      ['--compact', 'run every service in one process'],
      ['--foreground', 'stay in the foreground, for systemd'],
      ['--install', 'install the Debian packages that are missing'],
      ['--cni', 'write a bridge network configuration when there is none'],
    ],
    examples: ['up --install --cni', 'up --config /etc/gantry/second.toml'],
    load: async () => (await import('../commands/up.ts')).up,
  },
  {
    name: 'down',
    about: 'stop the services and NATS; pods keep running',
    options: [['--pods', 'stop and remove every pod first']],
    examples: ['down', 'down --pods'],
    load: async () => (await import('../commands/down.ts')).down,
  },
  {
    name: 'status',
    about: 'show what runs of this stack; exit code 3 when it is not up',
    examples: ['status'],
    load: async () => (await import('../commands/status.ts')).status,
  },
  {
    name: 'doctor',
    about:
      'check this host: tools, kernel, cgroups, network, disk, kubelet; exit code 1 when something fails',
    options: [['-q, --quiet', 'only what is not ok'], output],
    examples: ['doctor', 'doctor -q'],
    load: async () => (await import('../commands/doctor.ts')).doctor,
  },
  {
    name: 'test',
    args: '[stages...]',
    argsAbout: {
      stages: 'types, lint, generated, units, e2e, critest; all of them when none is named',
    },
    about: 'run the tests of Gantry itself',
    options: [
      ['--vm', 'run a virtual machine with systemd, cgroup v2, AppArmor and SELinux'],
      ['--kubelet', 'run static pods with a kubelet, which is built first (needs Go)'],
      ['--conformance', "run Kubernetes' tests of a node, which are built first (needs Go)"],
    ],
    examples: ['test', 'test types lint units'],
    load: async () => (await import('../commands/test.ts')).test,
  },
  {
    name: 'config default',
    about: 'print the whole config file with a comment on each key',
    examples: ['config default > /etc/gantry/config.toml'],
    load: async () => (await import('../commands/config-default.ts')).configDefault,
  },
  {
    name: 'config import',
    args: '<file>',
    argsAbout: { file: "containerd's config file, of any version; - for stdin" },
    about:
      'translate a config of containerd 1.x or 2.x; what has no counterpart stands in comments at its end',
    examples: ['config import /etc/containerd/config.toml > /etc/gantry/config.toml'],
    load: async () => (await import('../commands/config-import.ts')).configImport,
  },
  {
    name: 'config check',
    about: 'say what is wrong with the config file',
    examples: ['config check --config /etc/gantry/config.toml'],
    load: async () => (await import('../commands/config-check.ts')).configCheck,
  },
  {
    name: 'config nats',
    about:
      "write credentials for a NATS server of yours (nats.url), and print this node's account for its config; see deploy/README.md",
    examples: ['config nats > node-1.conf'],
    load: async () => (await import('../commands/config-nats.ts')).configNats,
  },
  {
    name: 'config docs',
    about: 'print docs/config.md',
    hidden: true,
    load: async () => (await import('../commands/config-docs.ts')).configDocs,
  },
  {
    name: 'supervise',
    about: 'keep the services running (started by `gantry up`)',
    options: [['--compact', 'run every service in one process']],
    hidden: true,
    load: async () => (await import('../commands/supervise.ts')).supervise,
  },
];
