import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildImage, buildPauseImage, findProgram, type ImageFile } from '@gantry/debian-image';
import { run } from '@gantry/host';
import {
  busyboxFiles,
  librariesOf,
  plainProgram,
  type Recipe,
  withNginx,
} from './critest-images.ts';
import type { NodeConformancePrograms } from './node-conformance.ts';

const e2eImages = 'registry.k8s.io/e2e-test-images';

/** Programs of Debian that specs run in the image of agnhost. */
const tools = [
  { path: 'bin/bash', name: 'bash', debianPackage: 'bash', probe: '--version' },
  { path: 'bin/curl', name: 'curl', debianPackage: 'curl', probe: '--version' },
  { path: 'bin/ss', name: 'ss', debianPackage: 'iproute2', probe: '--version' },
  // Busybox's own has no UDP.
  { path: 'bin/nc', name: 'nc.openbsd', debianPackage: 'netcat-openbsd', probe: '-h' },
] as const;

/**
 * Makes the images of Kubernetes' node conformance tests out of a built agnhost and Debian's programs, in one OCI layout
 * under the names that the tests pull, and gives these names.
 */
export async function buildNodeImages(
  outDir: string,
  { agnhost }: Pick<NodeConformancePrograms, 'agnhost'>,
  effectiveUidProgram: string,
): Promise<readonly string[]> {
  const busybox = await busyboxForNodes();
  const withAgnhost: Recipe = {
    files: await agnhostFiles(busybox, agnhost),
    config: { Entrypoint: ['/agnhost'], Cmd: ['pause'] },
  };
  const nginx = await findProgram({
    name: 'nginx',
    packages: ['nginx'],
    // It tells its version on stderr: that it runs at all is what counts.
    probe: ['-v'],
    accept: () => true,
  });
  const server: Recipe = {
    files: withNginx(busybox, nginx, 80),
    config: { Cmd: ['nginx', '-e', 'stderr', '-g', 'daemon off;'] },
  };
  const shell: Recipe = { files: busybox, config: { Cmd: ['sh'] } };
  const recipes: Readonly<Record<string, Recipe>> = {
    [`${e2eImages}/agnhost:2.63.0`]: withAgnhost,
    [`${e2eImages}/agnhost:2.55`]: withAgnhost,
    [`${e2eImages}/busybox:1.37.0-1`]: shell,
    [`${e2eImages}/ipc-utils:1.4`]: shell,
    [`${e2eImages}/glibc-dns-testing:2.0.0`]: shell,
    [`${e2eImages}/nginx:1.15-4`]: server,
    [`${e2eImages}/nginx:1.27-0`]: server,
    [`${e2eImages}/nonroot:1.5`]: { files: busybox, config: { Cmd: ['sh'], User: '1234' } },
    [`${e2eImages}/nonewprivs:1.4`]: {
      files: [
        ...busybox,
        {
          type: 'file',
          path: 'usr/local/bin/nnp',
          content: await readFile(effectiveUidProgram),
          mode: 0o4755,
        },
      ],
      config: { Cmd: ['nnp'], Env: ['PATH=/usr/local/bin:/bin'] },
    },
  };
  for (const [name, { files, config }] of Object.entries(recipes)) {
    await buildImage({ outDir, name, layers: [files], config });
  }
  const pause = 'registry.k8s.io/pause:3.10.2';
  await buildPauseImage(outDir, pause);
  return [...Object.keys(recipes), pause];
}

/** What agnhost serves HTTPS with; nobody verifies it. */
async function certificate(): Promise<readonly ImageFile[]> {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-certificate-'));
  const [certFile, keyFile] = [join(dir, 'localhost.crt'), join(dir, 'localhost.key')];
  try {
    const { exitCode, stderr } = await run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-subj', '/CN=localhost', '-keyout', keyFile, '-out', certFile],
    ]);
    if (exitCode !== 0) {
      throw new Error(`openssl: ${stderr.toString()}`);
    }
    return [
      { type: 'file', path: 'localhost.crt', content: await readFile(certFile) },
      { type: 'file', path: 'localhost.key', content: await readFile(keyFile) },
    ];
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** With a clock of milliseconds, which specs take from nmeter, an applet that Debian's busybox has not. */
async function busyboxForNodes(): Promise<ImageFile[]> {
  const base = await busyboxFiles();
  const date = await plainProgram('date', 'coreutils');
  const taken = new Set(base.map(({ path }) => path));
  return [
    ...base,
    ...librariesOf(date).filter(({ path }) => !taken.has(path)),
    { type: 'file', path: 'bin/gnu-date', content: date.content, mode: 0o755 },
    {
      type: 'file',
      path: 'bin/nmeter',
      content: '#!/bin/sh\nexec gnu-date -u +%T.%3N\n',
      mode: 0o755,
    },
  ];
}

async function agnhostFiles(base: readonly ImageFile[], agnhost: string): Promise<ImageFile[]> {
  const programs = await Promise.all(
    tools.map(async ({ path, name, debianPackage, probe }) => {
      const request = { name, packages: [debianPackage], probe: [probe], accept: () => true };
      return { path, program: await findProgram(request) };
    }),
  );
  const replaced = new Set<string>(programs.map(({ path }) => path));
  const kept = base.filter(({ path }) => !replaced.has(path));
  const taken = new Set(kept.map(({ path }) => path));
  const added: ImageFile[] = [
    ...librariesOf(...programs.map(({ program }) => program)),
    ...programs.map(
      ({ path, program: { content } }): ImageFile => ({ type: 'file', path, content, mode: 0o755 }),
    ),
    { type: 'file', path: 'agnhost', content: await readFile(agnhost), mode: 0o755 },
    { type: 'symlink', path: 'agnhost-2', target: 'agnhost' },
    { type: 'directory', path: 'uploads' },
    ...(await certificate()),
  ];
  return [...kept, ...added.filter(({ path }) => !taken.has(path))];
}
