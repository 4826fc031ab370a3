import { type BuiltImage, buildImage } from './build-image.ts';
import type { ImageFile } from './layer-tar.ts';
import { findProgram } from './program.ts';

/** The name of the image that `gantry demo` runs. */
export const busyboxImageName = 'localhost/gantry/busybox:1';

// Without these the image would be of no use to the demo and to tests.
const needed = ['sh', 'cat', 'echo', 'httpd', 'sleep', 'wget'];

/**
 * Builds a small image with a shell and some 250 commands into the OCI layout
 * `outDir` (made or added to): Debian's busybox with a link for each applet, users root, nobody
 * and `app` (1000), a world-writable /tmp and a page in /www for `httpd -f -h /www`.
 */
export async function buildBusyboxImage(
  outDir: string,
  name = busyboxImageName,
): Promise<BuiltImage> {
  const program = await findProgram({
    name: 'busybox',
    packages: ['busybox-static', 'busybox'],
    probe: ['--list'],
    accept: (output) => needed.every((applet) => applets(output).includes(applet)),
  });
  const files: ImageFile[] = [
    { type: 'file', path: 'bin/busybox', content: program.content, mode: 0o755 },
    ...program.libraries,
    ...applets(program.probed)
      .filter((applet) => applet !== 'busybox')
      .map((applet): ImageFile => ({ type: 'symlink', path: `bin/${applet}`, target: 'busybox' })),
    ...skeleton,
  ];
  return buildImage({
    outDir,
    name,
    layers: [files],
    config: { Cmd: ['/bin/sh'], Env: ['PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'] },
  });
}

function applets(listing: string): string[] {
  return listing.split('\n').filter((line) => /^[\w.[-]+$/.test(line));
}

const text = (path: string, ...lines: string[]): ImageFile => ({
  type: 'file',
  path,
  content: `${lines.join('\n')}\n`,
});

const skeleton: readonly ImageFile[] = [
  { type: 'directory', path: 'tmp', mode: 0o1777 },
  { type: 'directory', path: 'root', mode: 0o700 },
  { type: 'directory', path: 'home/app', uid: 1000, gid: 1000 },
  { type: 'directory', path: 'var/log' },
  { type: 'symlink', path: 'usr/bin', target: '../bin' },
  { type: 'symlink', path: 'sbin', target: 'bin' },
  text(
    'etc/passwd',
    'root:x:0:0:root:/root:/bin/sh',
    'app:x:1000:1000:app:/home/app:/bin/sh',
    'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
  ),
  text('etc/group', 'root:x:0:', 'app:x:1000:', 'extra:x:1001:app', 'nogroup:x:65534:'),
  text('www/index.html', '<!doctype html>', '<title>Gantry</title>', '<p>Hello from a pod.</p>'),
];
