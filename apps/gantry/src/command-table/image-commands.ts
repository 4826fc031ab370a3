import { type CommandEntry, output, quiet } from './entry.ts';

/** Images, from wherever they come. */
export const imageCommands: readonly CommandEntry[] = [
  {
    name: 'images',
    args: '[name]',
    argsAbout: { name: 'only this one: a name, with a tag or without, or an id' },
    about: 'list images',
    options: [['--digests', 'show digests'], quiet, output],
    examples: ['images', 'images --digests'],
    load: async () => (await import('../commands/images.ts')).images,
  },
  {
    name: 'pull',
    args: '<image>',
    argsAbout: { image: 'a name, with a tag or a digest; docker.io and :latest may be left out' },
    about: 'pull an image from its registry',
    options: [
      ['--creds <user:password>', 'credentials for the registry'],
      ['--creds-file <file>', 'a file that holds user:password'],
      ['--pod-config <file>', 'pod config to pull for'],
    ],
    examples: ['pull nginx:1.29', 'pull --creds-file /root/creds registry.example.com/team/app:2'],
    load: async () => (await import('../commands/pull.ts')).pull,
  },
  {
    name: 'rmi',
    args: '<images...>',
    argsAbout: { images: 'names or ids' },
    about: 'remove images',
    examples: ['rmi nginx:1.29'],
    load: async () => (await import('../commands/rmi.ts')).rmi,
  },
  {
    name: 'image import',
    args: '[path]',
    argsAbout: { path: 'an OCI layout (directory or tar), or a docker-archive tar' },
    about: 'import images from an archive, or from a container engine',
    options: [
      ['--name <name>', 'the name to give it'],
      [
        '--from-engine <image>',
        'take this image from a Docker-compatible engine instead of a path',
      ],
      ['--engine-socket <path>', "the engine's socket (default: Docker's, or else Podman's)"],
    ],
    examples: [
      'image import --name localhost/app:dev app.tar',
      'image import --from-engine nginx:dev',
    ],
    load: async () => (await import('../commands/image-import.ts')).imageImport,
  },
  {
    name: 'image export',
    args: '<images...>',
    argsAbout: { images: 'names or ids' },
    about: 'write images to one archive that import, skopeo, podman and docker read',
    options: [
      ['-f, --file <path>', 'the file to write (default: stdout)'],
      ['--format <name>', 'oci (an OCI layout, the default) or docker-archive'],
    ],
    examples: ['image export -f nginx.tar nginx:1.29'],
    load: async () => (await import('../commands/image-export.ts')).imageExport,
  },
  {
    name: 'image pulls',
    about: 'show the pulls that are under way',
    options: [output],
    examples: ['image pulls'],
    load: async () => (await import('../commands/image-pulls.ts')).imagePulls,
  },
  {
    name: 'image usage',
    about: 'show what images take on disk, what removal would free, and who uses them',
    options: [output],
    examples: ['image usage'],
    load: async () => (await import('../commands/image-usage.ts')).imageUsage,
  },
  {
    name: 'image prune',
    about: 'remove the images that no container uses',
    options: [['--dry-run', 'say what would go, and remove nothing']],
    examples: ['image prune --dry-run'],
    load: async () => (await import('../commands/image-prune.ts')).imagePrune,
  },
];
