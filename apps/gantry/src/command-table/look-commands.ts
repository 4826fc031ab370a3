import { type CommandEntry, container, document, output, pod } from './entry.ts';

/** What looks inside, and tells why. */
export const lookCommands: readonly CommandEntry[] = [
  {
    name: 'trace',
    args: '[what]',
    argsAbout: {
      what: 'the id or name of a pod or container, a method such as RunPodSandbox, or a trace id',
    },
    about:
      'show what requests did, as a tree: the last one, or the last ten that have to do with WHAT',
    options: [
      ['--slowest', 'the longest first'],
      ['--last <n>', 'so many of them'],
    ],
    examples: ['trace', 'trace --slowest --last 3', 'trace RunPodSandbox'],
    load: async () => (await import('../commands/trace.ts')).trace,
  },
  {
    name: 'why',
    args: '<id>',
    argsAbout: { id: 'of a pod or container, or its name; an id also when it is gone' },
    about: 'say what failed of a pod or container, and what to do',
    options: [output],
    examples: ['why 9a8b7c'],
    load: async () => (await import('../commands/why.ts')).why,
  },
  {
    name: 'version',
    about: 'show what answers on the socket',
    examples: ['version'],
    load: async () => (await import('../commands/version.ts')).version,
  },
  {
    name: 'info',
    about: "show the runtime's conditions, handlers and details",
    options: [document],
    examples: ['info'],
    load: async () => (await import('../commands/info.ts')).info,
  },
  {
    name: 'inspect',
    args: '<container>',
    argsAbout: container,
    about: 'show everything about a container',
    options: [document],
    examples: ['inspect -o yaml 9a8b7c'],
    load: async () => (await import('../commands/inspect.ts')).inspect,
  },
  {
    name: 'inspectp',
    args: '<pod>',
    argsAbout: pod,
    about: 'show everything about a pod',
    options: [document],
    examples: ['inspectp 1f2e3d'],
    load: async () => (await import('../commands/inspectp.ts')).inspectp,
  },
  {
    name: 'inspecti',
    args: '<image>',
    argsAbout: { image: 'a name or an id' },
    about: 'show everything about an image',
    options: [document],
    examples: ['inspecti nginx:1.29'],
    load: async () => (await import('../commands/inspecti.ts')).inspecti,
  },
  {
    name: 'nri',
    about: 'NRI plugins: list them; owners: which changed what in a container',
    options: [output],
    examples: ['nri', 'nri owners 9a8b7c'],
    load: async () => (await import('../commands/nri-plugins.ts')).nriPlugins,
  },
  {
    name: 'nri plugins',
    about: 'list NRI plugins: their events, how fast they answer, their last errors',
    options: [output],
    examples: ['nri plugins'],
    load: async () => (await import('../commands/nri-plugins.ts')).nriPlugins,
  },
  {
    name: 'nri owners',
    args: '<container>',
    argsAbout: container,
    about: 'show which plugin changed what in a container',
    options: [output],
    examples: ['nri owners 9a8b7c'],
    load: async () => (await import('../commands/nri-owners.ts')).nriOwners,
  },
];
