import type { CommandFunction } from './invocation.ts';

/** One command of the command line. */
export interface CommandEntry {
  /** With the names of its groups before it: `image import`. */
  readonly name: string;
  readonly about: string;
  /** Positional arguments in commander's notation. */
  readonly args?: string;
  /** Flags, what they do, and a default. */
  readonly options?: readonly (readonly [string, string, string?])[];
  readonly hidden?: boolean;
  /** Options after the first argument belong to that, as in `exec ID ls -l`. */
  readonly passThrough?: boolean;
  readonly load: () => Promise<CommandFunction>;
}

type Option = readonly [string, string, string?];
const output: Option = ['-o, --output <format>', 'table, json or yaml'];
const transport: Option = ['--transport <name>', 'spdy (the default) or websocket'];
const quiet: Option = ['-q, --quiet', 'only ids'];
/** May be given more than once. */
const label: Option = ['--label <key=value...>', 'only those with this label'];
const listing: readonly Option[] = [label, quiet, output];

/** What the help page says of the commands that have only others below them. */
export const groups: Readonly<Record<string, string>> = {
  image: 'images in archives, what images take on disk, pulls under way',
  config: 'print, check and translate config files',
};

/** Every command, in the order of the help page. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'demo',
    about: 'install what is missing, start everything, and run a pod to show it',
    load: async () => (await import('./commands/demo.ts')).demo,
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
    load: async () => (await import('./commands/up.ts')).up,
  },
  {
    name: 'down',
    about: 'stop the services and NATS; pods keep running',
    options: [['--pods', 'stop and remove every pod first']],
    load: async () => (await import('./commands/down.ts')).down,
  },
  {
    name: 'status',
    about: 'show what runs of this stack',
    load: async () => (await import('./commands/status.ts')).status,
  },
  {
    name: 'test',
    args: '[stages...]',
    about: 'run the tests of Gantry itself: types, lint, generated, units, e2e, critest',
    options: [
      ['--vm', 'run a virtual machine with systemd, cgroup v2, AppArmor and SELinux'],
      ['--kubelet', 'run static pods with a kubelet, which is built first (needs Go)'],
      ['--conformance', "run Kubernetes' tests of a node, which are built first (needs Go)"],
    ],
    load: async () => (await import('./commands/test.ts')).test,
  },
  {
    name: 'doctor',
    about: 'check this host: tools, kernel, cgroups, network, disk, kubelet',
    options: [['-q, --quiet', 'only what is not ok'], output],
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  {
    name: 'trace',
    args: '[what]',
    about:
      'show what requests did, as a tree: the last one, or those of a pod, container or method',
    options: [
      ['--slowest', 'the longest first'],
      ['--last <n>', 'how many'],
    ],
    load: async () => (await import('./commands/trace.ts')).trace,
  },
  {
    name: 'why',
    args: '<id>',
    about: 'say what failed of a pod or container, and what to do',
    options: [output],
    load: async () => (await import('./commands/why.ts')).why,
  },
  {
    name: 'nri',
    about: 'NRI plugins: list them; owners: which changed what in a container',
    load: async () => (await import('./commands/nri-plugins.ts')).nriPlugins,
  },
  {
    name: 'nri plugins',
    about: 'list NRI plugins: their events, how fast they answer, their last errors',
    options: [output],
    load: async () => (await import('./commands/nri-plugins.ts')).nriPlugins,
  },
  {
    name: 'nri owners',
    args: '<container>',
    about: 'show which plugin changed what in a container',
    options: [output],
    load: async () => (await import('./commands/nri-owners.ts')).nriOwners,
  },
  {
    name: 'version',
    about: 'show what answers on the socket',
    load: async () => (await import('./commands/version.ts')).version,
  },
  {
    name: 'info',
    about: "show the runtime's conditions, handlers and details",
    options: [output],
    load: async () => (await import('./commands/info.ts')).info,
  },
  {
    name: 'ps',
    about: 'list containers',
    options: [
      ['-a, --all', 'those that do not run, too'],
      ['-p, --pod <pod>', 'only of this pod'],
      ['--name <text>', 'only those whose name has this text'],
      ...listing,
    ],
    load: async () => (await import('./commands/ps.ts')).ps,
  },
  {
    name: 'pods',
    about: 'list pods',
    options: [
      ['--name <text>', 'only those whose name has this text'],
      ['--namespace <name>', 'only of this namespace'],
      ...listing,
    ],
    load: async () => (await import('./commands/pods.ts')).pods,
  },
  {
    name: 'images',
    args: '[name]',
    about: 'list images',
    options: [['--digests', 'show digests'], quiet, output],
    load: async () => (await import('./commands/images.ts')).images,
  },
  {
    name: 'pull',
    args: '<image>',
    about: 'pull an image from its registry',
    options: [
      ['--creds <user:password>', 'credentials for the registry'],
      ['--creds-file <file>', 'a file that holds user:password'],
      ['--pod-config <file>', 'pod config to pull for'],
    ],
    load: async () => (await import('./commands/pull.ts')).pull,
  },
  {
    name: 'rmi',
    args: '<images...>',
    about: 'remove images',
    load: async () => (await import('./commands/rmi.ts')).rmi,
  },
  {
    name: 'image import',
    args: '[path]',
    about: 'import an OCI layout (directory or tar) or a docker-archive tar',
    options: [
      ['--name <name>', 'the name to give it'],
      [
        '--from-engine <image>',
        'take this image from a Docker-compatible engine instead of a path',
      ],
      ['--engine-socket <path>', "the engine's socket (default: Docker's, or else Podman's)"],
    ],
    load: async () => (await import('./commands/image-import.ts')).imageImport,
  },
  {
    name: 'image export',
    args: '<images...>',
    about: 'write images to one archive that import, skopeo, podman and docker read',
    options: [
      ['-f, --file <path>', 'the file to write (default: stdout)'],
      ['--format <name>', 'oci (an OCI layout, the default) or docker-archive'],
    ],
    load: async () => (await import('./commands/image-export.ts')).imageExport,
  },
  {
    name: 'image pulls',
    about: 'show the pulls that are under way',
    options: [output],
    load: async () => (await import('./commands/image-pulls.ts')).imagePulls,
  },
  {
    name: 'image usage',
    about: 'show what images take on disk, what removal would free, and who uses them',
    options: [output],
    load: async () => (await import('./commands/image-usage.ts')).imageUsage,
  },
  {
    name: 'image prune',
    about: 'remove the images that no container uses',
    options: [['--dry-run', 'say what would go, and remove nothing']],
    load: async () => (await import('./commands/image-prune.ts')).imagePrune,
  },
  {
    name: 'logs',
    args: '<container>',
    about: 'show what a container wrote',
    options: [
      ['-f, --follow', 'go on until it ends'],
      ['--tail <n>', 'only the last lines'],
      ['-t, --timestamps', 'with the time of each line'],
    ],
    load: async () => (await import('./commands/logs.ts')).logs,
  },
  {
    name: 'exec',
    args: '<container> <command...>',
    about: 'run a command in a container; its exit code is passed on',
    options: [
      ['-i, --interactive', 'pass our input to it'],
      ['-t, --tty', 'give it a terminal'],
      ['-s, --sync', 'show its output when it has ended'],
      ['--timeout <seconds>', 'kill it after this time; as --sync'],
      transport,
    ],
    passThrough: true,
    load: async () => (await import('./commands/exec.ts')).exec,
  },
  {
    name: 'attach',
    args: '<container>',
    about: 'show what the first process of a container says from now on',
    options: [
      ['-i, --interactive', 'pass our input to it'],
      ['-t, --tty', 'it has a terminal; Ctrl-P Ctrl-Q detaches'],
      transport,
    ],
    load: async () => (await import('./commands/attach.ts')).attach,
  },
  {
    name: 'port-forward',
    args: '<pod> <ports...>',
    about: 'carry local ports to ports of a pod: 8080:80, 80, or :80 for any free one',
    options: [['--address <address>', 'where to listen (default: 127.0.0.1)'], transport],
    load: async () => (await import('./commands/port-forward.ts')).portForward,
  },
  {
    name: 'inspect',
    args: '<container>',
    about: 'show everything about a container',
    options: [output],
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  {
    name: 'inspectp',
    args: '<pod>',
    about: 'show everything about a pod',
    options: [output],
    load: async () => (await import('./commands/inspectp.ts')).inspectp,
  },
  {
    name: 'inspecti',
    args: '<image>',
    about: 'show everything about an image',
    options: [output],
    load: async () => (await import('./commands/inspecti.ts')).inspecti,
  },
  {
    name: 'runp',
    args: '<pod-config>',
    about: 'start a pod from a JSON or YAML file, as crictl has it',
    options: [['-r, --runtime <handler>', 'runtime handler']],
    load: async () => (await import('./commands/runp.ts')).runp,
  },
  {
    name: 'create',
    args: '<pod> <container-config> <pod-config>',
    about: 'create a container from JSON or YAML files, as crictl has them',
    options: [['--with-pull', 'pull its image first']],
    load: async () => (await import('./commands/create.ts')).create,
  },
  {
    name: 'start',
    args: '<containers...>',
    about: 'start containers',
    load: async () => (await import('./commands/start.ts')).start,
  },
  {
    name: 'stop',
    args: '<containers...>',
    about: 'stop containers',
    options: [['-t, --timeout <seconds>', 'kill it after this time (default: at once)']],
    load: async () => (await import('./commands/stop.ts')).stop,
  },
  {
    name: 'rm',
    args: '<containers...>',
    about: 'remove containers',
    options: [['-f, --force', 'running ones, too']],
    load: async () => (await import('./commands/rm.ts')).rm,
  },
  {
    name: 'stopp',
    args: '<pods...>',
    about: 'stop pods',
    load: async () => (await import('./commands/stopp.ts')).stopp,
  },
  {
    name: 'rmp',
    args: '<pods...>',
    about: 'remove pods with their containers',
    options: [['-f, --force', 'running ones, too']],
    load: async () => (await import('./commands/rmp.ts')).rmp,
  },
  {
    name: 'config default',
    about: 'print the whole config file with a comment on each key',
    load: async () => (await import('./commands/config-default.ts')).configDefault,
  },
  {
    name: 'config import',
    args: '<file>',
    about: 'translate a config of containerd 1.x or 2.x',
    load: async () => (await import('./commands/config-import.ts')).configImport,
  },
  {
    name: 'config check',
    about: 'say what is wrong with the config file',
    load: async () => (await import('./commands/config-check.ts')).configCheck,
  },
  {
    name: 'config docs',
    about: 'print docs/config.md',
    hidden: true,
    load: async () => (await import('./commands/config-docs.ts')).configDocs,
  },
  {
    name: 'supervise',
    about: 'keep the services running (started by `gantry up`)',
    options: [['--compact', 'run every service in one process']],
    hidden: true,
    load: async () => (await import('./commands/supervise.ts')).supervise,
  },
];
