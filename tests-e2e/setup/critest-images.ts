import { readFile } from 'node:fs/promises';
import { arch } from 'node:os';
import {
  buildImage,
  findProgram,
  type ImageConfig,
  type ImageFile,
  type Program,
} from '@gantry/debian-image';

const staging = 'gcr.io/k8s-staging-cri-tools';
const e2eImages = 'registry.k8s.io/e2e-test-images';

export interface Recipe {
  readonly files: readonly ImageFile[];
  readonly config: ImageConfig;
}

/**
 * Makes the images of critest 1.36 out of Debian's programs, in one OCI layout under the names that critest pulls, and gives
 * these names. The one that it pulls by digest can't be made: the digest is of bytes that are elsewhere.
 */
export async function buildCritestImages(
  outDir: string,
  effectiveUidProgram: string,
): Promise<readonly string[]> {
  const recipes = await recipesOf(effectiveUidProgram);
  for (const [name, { files, config }] of recipes) {
    await buildImage({ outDir, name, layers: [files], config });
  }
  return [...recipes.keys()];
}

async function recipesOf(effectiveUidProgram: string): Promise<ReadonlyMap<string, Recipe>> {
  const busybox = await busyboxFiles();
  const nginx = await findProgram({
    name: 'nginx',
    packages: ['nginx'],
    // It tells its version on stderr: that it runs at all is what counts.
    probe: ['-v'],
    accept: () => true,
  });
  const serve = { Cmd: ['nginx', '-e', 'stderr', '-g', 'daemon off;'] };
  const marked = (mark: string): Recipe => ({
    files: [...busybox, { type: 'file', path: mark, content: mark }],
    config: { Cmd: ['sh'] },
  });
  const asUser = (User: string): Recipe => ({ files: busybox, config: { Cmd: ['sh'], User } });
  const recipes: Readonly<Record<string, Recipe>> = {
    [`${e2eImages}/busybox:1.29-2`]: { files: busybox, config: { Cmd: ['sh'] } },
    [`${e2eImages}/nginx:1.14-2`]: { files: withNginx(busybox, nginx, 80), config: serve },
    [`${staging}/hostnet-nginx-${goArchitecture()}:latest`]: {
      files: withNginx(busybox, nginx, 12_003),
      config: serve,
    },
    [`${e2eImages}/httpd:2.4.39-4`]: {
      files: [...busybox, { type: 'file', path: 'www/index.html', content: 'It works!\n' }],
      config: { Cmd: ['sh', '-c', 'echo httpd serves; exec httpd -f -p 80 -h /www'] },
    },
    [`${e2eImages}/nonewprivs:1.3`]: {
      files: [
        { type: 'file', path: 'nnp', content: await readFile(effectiveUidProgram), mode: 0o4755 },
      ],
      config: { Entrypoint: ['/nnp'] },
    },
    ...Object.fromEntries(
      ['1:latest', '2:latest', '3:latest', 'latest:latest', 'tag:test', 'tag:all'].map((image) => [
        `${staging}/test-image-${image}`,
        marked(`test-image-${image.replace(':', '-')}`),
      ]),
    ),
    ...Object.fromEntries(
      ['1', '2', '3'].map((tag) => [`${staging}/test-image-tags:${tag}`, marked('same-image')]),
    ),
    // One image under the names of two registries; not the one that pods stand on, for it is removed.
    'registry.k8s.io/pause:3.9': marked('pause'),
    'k8s.gcr.io/pause:3.9': marked('pause'),
    [`${staging}/test-image-user-uid:latest`]: asUser('1002'),
    [`${staging}/test-image-user-username:latest`]: asUser('www-data'),
    [`${staging}/test-image-user-uid-group:latest`]: asUser('1003:1004'),
    [`${staging}/test-image-user-username-group:latest`]: asUser('www-data:1004'),
    [`${staging}/test-image-predefined-group:latest`]: asUser('1000'),
  };
  return new Map(Object.entries(recipes));
}

/** Busybox with a hard link for each applet, for a spec masks /bin/ls alone; and what Debian's busybox lacks. */
export async function busyboxFiles(): Promise<ImageFile[]> {
  const busybox = await findDynamicBusybox();
  const pgrep = await plainProgram('pgrep', 'procps');
  const ipcs = await plainProgram('ipcs', 'util-linux');
  const applets = busybox.probed
    .split('\n')
    .filter((name) => /^[\w.[-]+$/.test(name) && !['busybox', 'pgrep', 'ipcs'].includes(name));
  return [
    { type: 'file', path: 'bin/busybox', content: busybox.content, mode: 0o755 },
    { type: 'file', path: 'bin/pgrep', content: pgrep.content, mode: 0o755 },
    { type: 'file', path: 'bin/ipcs', content: ipcs.content, mode: 0o755 },
    ...applets.map(
      (name): ImageFile => ({ type: 'hardlink', path: `bin/${name}`, target: 'bin/busybox' }),
    ),
    ...librariesOf(busybox, pgrep, ipcs),
    { type: 'symlink', path: 'sbin', target: 'bin' },
    { type: 'symlink', path: 'usr/bin', target: '../bin' },
    { type: 'directory', path: 'tmp', mode: 0o1777 },
    { type: 'directory', path: 'root', mode: 0o700 },
    { type: 'directory', path: 'etc' },
    {
      type: 'file',
      path: 'etc/passwd',
      content: [
        'root:x:0:0:root:/root:/bin/sh',
        'www-data:x:33:33:www-data:/var/www:/bin/false',
        'default-user:x:1000:1000::/home/default-user:/bin/sh',
        'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
        '',
      ].join('\n'),
    },
    {
      type: 'file',
      path: 'etc/group',
      content: [
        'root:x:0:',
        'www-data:x:33:',
        'default-user:x:1000:',
        'group-defined-in-image:x:50000:default-user',
        'nogroup:x:65534:',
        '',
      ].join('\n'),
    },
  ];
}

/** Not the static one: its shell runs applets without looking them up, so that none can be masked. */
async function findDynamicBusybox(): Promise<Program> {
  const request = {
    name: 'busybox',
    packages: ['busybox'],
    probe: ['--list'],
    accept: (output: string) => ['brctl', 'netstat', 'ping'].every((a) => output.includes(a)),
  };
  const installed = await findProgram(request);
  return installed.libraries.length > 0
    ? installed
    : findProgram({ ...request, ignoreInstalled: true });
}

export function plainProgram(name: string, debianPackage: string): Promise<Program> {
  return findProgram({
    name,
    packages: [debianPackage],
    probe: ['--version'],
    accept: (output) => output.includes(debianPackage),
  });
}

export function withNginx(base: readonly ImageFile[], nginx: Program, port: number): ImageFile[] {
  const there = new Set(base.map((file) => file.path));
  return [
    ...base,
    ...nginx.libraries.filter((library) => !there.has(library.path)),
    { type: 'file', path: 'bin/nginx', content: nginx.content, mode: 0o755 },
    { type: 'directory', path: 'var/run' },
    { type: 'directory', path: 'var/lib/nginx' },
    { type: 'file', path: 'www/index.html', content: 'Welcome to nginx!\n' },
    {
      type: 'file',
      path: 'etc/nginx/nginx.conf',
      content: `user nobody nogroup;
pid /var/run/nginx.pid;
worker_processes 1;
error_log stderr;
events {}
http {
  access_log off;
  server { listen ${port}; root /www; }
}
`,
    },
  ];
}

export function librariesOf(...programs: readonly Program[]): ImageFile[] {
  const byPath = new Map(programs.flatMap((p) => p.libraries).map((file) => [file.path, file]));
  return [...byPath.values()];
}

function goArchitecture(): string {
  return arch() === 'x64' ? 'amd64' : arch();
}
