import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { hostOf, leaks } from './harness/host.ts';
import { type ImportedImage, importImage, keptLayers } from './harness/image.ts';
import { textOfLog } from './harness/log-text.ts';
import {
  type ContainerConfig,
  ContainerState,
  logPathOf,
  podConfig,
  type RunningPod,
  removePod,
  runPod,
  shellContainer,
  startContainer,
} from './harness/pod.ts';
import { killServices, untilAllAnswer } from './harness/services.ts';
import { type Stack, startStack } from './harness/stack.ts';
import { until } from './harness/until.ts';

// Image volumes (KEP-4639), and what images declare as VOLUME.

let stack: Stack;
let data: ImportedImage;
let single: ImportedImage;
before(async () => {
  stack = await startStack();
  data = await importImage(stack, {
    name: 'data',
    layers: [
      [
        { type: 'file', path: 'models/one', content: 'first\n', uid: 7, gid: 8 },
        { type: 'file', path: 'models/gone', content: 'x' },
        { type: 'file', path: 'tool', content: '#!/bin/sh\necho tool ran\n', mode: 0o755 },
      ],
      [
        { type: 'file', path: 'models/.wh.gone', content: '' },
        { type: 'file', path: 'models/two', content: 'second\n' },
        { type: 'symlink', path: 'evil', target: '/etc' },
        { type: 'symlink', path: 'models/up', target: '../../../../../etc' },
        { type: 'symlink', path: 'inside', target: '/models' },
        { type: 'symlink', path: 'loop', target: 'loop' },
      ],
    ],
  });
  single = await importImage(stack, {
    name: 'single',
    layers: [[{ type: 'file', path: 'file', content: 'only\n' }]],
  });
});
after(async () => {
  await stack[Symbol.asyncDispose]();
});

const volume = (image: string, containerPath: string, more: object = {}) => ({
  containerPath,
  image: { image },
  readonly: true,
  ...more,
});
const withMounts = (name: string, script: string, mounts: readonly object[]): ContainerConfig =>
  shellContainer(name, script, { mounts: mounts as NonNullable<ContainerConfig['mounts']> });

const statusOf = async (containerId: string) => {
  const { status } = await stack.runtime.containerStatus({ containerId });
  assert.ok(status);
  return status;
};

/** Runs a container to its end and gives what it wrote. */
async function outputOf(pod: RunningPod, config: ContainerConfig): Promise<string> {
  const containerId = await startContainer(stack, pod, config);
  await until(
    'its end',
    () => statusOf(containerId),
    (s) => s.state === ContainerState.CONTAINER_EXITED,
  );
  const log = await readFile(logPathOf(pod, config), 'utf8');
  return textOfLog(log);
}

test('an image is a read-only volume, its layers merged, and goes with its container', async () => {
  const host = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'image-volume'));
  const script = [
    'cat /data/models/one /data/models/two /file/file',
    'ls /data/models',
    'stat -c "%u:%g" /data/models/one',
    '/data/tool',
    'touch /data/new /file/new; mount -o remount,rw /data; echo end',
  ].join('; ');
  const config = withMounts('reader', script, [
    volume(data.name, '/data'),
    volume(single.name, '/file'),
  ]);
  const text = await outputOf(pod, config);
  assert.match(text, /^first\nsecond\nonly\none\ntwo\nup\n7:8\ntool ran\n/);
  assert.match(text, /touch: \/data\/new: Read-only file system/);
  assert.match(text, /touch: \/file\/new: Read-only file system/);
  assert.doesNotMatch(text, /gone/);

  const { containers } = await stack.runtime.listContainers({
    filter: { podSandboxId: pod.podSandboxId },
  });
  const { mounts } = await statusOf(containers[0]?.id ?? '');
  assert.equal(mounts[0]?.image?.image, data.name);
  assert.match(mounts[0].image.imageRef, /^localhost\/e2e\/data@sha256:[0-9a-f]{64}$/);
  await stack.runtime.removeContainer({ containerId: containers[0]?.id ?? '' });
  // The pod has mounts of its own still, one of them of the layers of its image.
  const mountsLeft = leaks(host, await hostOf(stack)).filter((line) => line.startsWith('mount'));
  const ofContainer = mountsLeft.filter((line) => line.includes(containers[0]?.id ?? '-'));
  assert.deepEqual(ofContainer, []);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});

test('a sub path shows that directory alone, links inside the image followed', async () => {
  const pod = await runPod(stack, podConfig(stack, 'sub-path'));
  for (const imageSubPath of ['models', '/models/', 'inside', './models/../models']) {
    const name = `sub-${imageSubPath.replace(/\W/g, '-')}`;
    const config = withMounts(name, 'cat /data/one; ls /data/tool', [
      volume(data.name, '/data', { imageSubPath }),
    ]);
    assert.match(
      await outputOf(pod, config),
      /^first\nls: \/data\/tool: No such file/,
      imageSubPath,
    );
  }
  await removePod(stack, pod.podSandboxId);
});

test('no link in an image leads a volume to files of the host', async () => {
  const host = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'escape'));
  for (const [imageSubPath, message] of [
    ['evil', /not in the image/],
    ['models/up', /not in the image/],
    ['../../../../../../../../etc', /not in the image/],
    ['evil/passwd', /not in the image/],
    ['loop', /symbolic links/],
    ['models/one', /not a directory/],
    ['a\0b', /NUL/],
  ] as const) {
    const config = withMounts('thief', 'cat /data/passwd', [
      volume(data.name, '/data', { imageSubPath }),
    ]);
    await assert.rejects(
      stack.runtime.createContainer({ podSandboxId: pod.podSandboxId, config }),
      (error: Error & { kind?: string }) => {
        assert.equal(error.kind, 'invalid-argument', imageSubPath);
        assert.match(error.message, /ImageVolumeMountFailed/);
        assert.match(error.message, message);
        return true;
      },
    );
  }
  // Whoever reads through a link in a container sees the container's own files.
  const config = withMounts('reader', 'cat /data/evil/hostname', [volume(data.name, '/data')]);
  assert.doesNotMatch(await outputOf(pod, config), /root:/);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});

test('requests that contradict themselves are refused, and nothing is left', async () => {
  const host = await hostOf(stack);
  const pod = await runPod(stack, podConfig(stack, 'refused'));
  for (const [mount, kind, message] of [
    [volume('localhost/e2e/missing:1', '/d'), 'not-found', /ImageVolumeMountFailed: .*missing/],
    [volume(data.name, '/d', { hostPath: '/etc' }), 'invalid-argument', /takes no host_path/],
    [volume(data.name, '/d', { readonly: false }), 'invalid-argument', /must be readonly/],
    [volume(data.name, '/'), 'invalid-argument', /would hide the root/],
    [volume(data.name, 'relative'), 'invalid-argument', /no absolute path/],
  ] as const) {
    const config = withMounts('refused', 'true', [volume(single.name, '/first'), mount]);
    await assert.rejects(
      stack.runtime.createContainer({ podSandboxId: pod.podSandboxId, config }),
      (error: Error & { kind?: string }) => {
        assert.equal(error.kind, kind, error.message);
        assert.match(error.message, message);
        return true;
      },
    );
  }
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});

test('an image that a volume shows can be removed, and the volume stays until its container goes', async () => {
  const layout = await importImage(stack, {
    name: 'short-lived',
    layers: [[{ type: 'file', path: 'file', content: 'still here\n' }]],
  });
  const pod = await runPod(stack, podConfig(stack, 'removed-image'));
  const config = withMounts('holder', 'sleep 1000', [volume(layout.name, '/data')]);
  const containerId = await startContainer(stack, pod, config);
  await stack.images.removeImage({ image: { image: layout.name } });
  assert.equal(
    (await stack.images.imageStatus({ image: { image: layout.name } })).image,
    undefined,
  );
  killServices(stack, 'sandbox-service', 'image-service');
  await untilAllAnswer(stack);
  const exec = { containerId, cmd: ['cat', '/data/file'], timeout: 10n };
  const { stdout } = await stack.runtime.execSync(exec);
  assert.equal(Buffer.from(stdout).toString(), 'still here\n');
  await removePod(stack, pod.podSandboxId);
  await assert.rejects(
    startContainer(
      stack,
      await runPod(stack, podConfig(stack, 'removed-image-2')),
      withMounts('late', 'true', [volume(layout.name, '/data')]),
    ),
    { kind: 'not-found' },
  );
});

test('a VOLUME has what the image has there, is written apart from it, and goes with its container', async () => {
  const host = await hostOf(stack);
  const image = await importImage(stack, {
    name: 'volumes',
    onBusybox: true,
    layers: [
      [
        { type: 'directory', path: 'srv/db', mode: 0o1770, uid: 999, gid: 998 },
        { type: 'file', path: 'srv/db/seed', content: 'seed\n', mode: 0o640, uid: 999, gid: 998 },
        { type: 'file', path: 'srv/db/suid', content: 'x', mode: 0o4755 },
        { type: 'hardlink', path: 'srv/db/twin', target: 'srv/db/seed' },
        { type: 'symlink', path: 'srv/db/out', target: '/etc/passwd' },
        { type: 'symlink', path: 'link', target: 'srv' },
        { type: 'file', path: 'plain', content: 'a file\n' },
      ],
    ],
    config: {
      Cmd: ['/bin/sh'],
      Volumes: {
        '/srv/db': {},
        '/new/empty': {},
        '/link/db/': {},
        '/plain': {},
        '/': {},
        '/taken': {},
      },
    },
  });
  const taken = join(stack.dir, 'taken');
  await mkdir(taken, { recursive: true });
  await writeFile(join(taken, 'mine'), 'of the request\n');
  const pod = await runPod(stack, podConfig(stack, 'volumes'));
  const script = [
    'cat /srv/db/seed /plain /taken/mine',
    'stat -c "%a %u:%g %n" /srv/db /srv/db/seed /srv/db/suid /new/empty',
    'stat -c %h /srv/db/seed; readlink /srv/db/out; ls -i /srv/db/seed /srv/db/twin | cut -d" " -f1 | uniq | wc -l',
    'echo more > /srv/db/new && echo written; touch /elsewhere || true; grep -c " /srv/db " /proc/mounts',
  ].join('; ');
  const config = shellContainer('db', `${script}; sleep 1000`, {
    image: { image: image.name },
    mounts: [{ containerPath: '/taken', hostPath: taken }],
    linux: { securityContext: { readonlyRootfs: true } },
  });
  const containerId = await startContainer(stack, pod, config);
  const text = await until(
    'its words',
    () => readFile(logPathOf(pod, config), 'utf8').catch(() => ''),
    // conmon reads each output when it comes to it.
    (log) => /written[\s\S]* F [12]\n/.test(log) && /\/elsewhere: /.test(log),
  );
  const words = text.replace(/^\S+ std(out|err) F /gm, '');
  assert.match(words, /^seed\na file\nof the request\n/);
  assert.match(
    words,
    /1770 999:998 \/srv\/db\n640 999:998 \/srv\/db\/seed\n4755 0:0 \/srv\/db\/suid\n755 0:0 \/new\/empty/,
  );
  assert.match(words, /\n2\n\/etc\/passwd\n1\nwritten\n/);
  assert.match(words, /\/elsewhere: Read-only file system/);

  const volumes = join(stack.rootDir, 'sandbox/volumes', containerId);
  assert.ok(existsSync(volumes));
  const names = await readdir(volumes);
  // One for each place: /link/db is /srv/db.
  assert.equal(names.length, 2);
  const written = names.map((name) => join(volumes, name, 'new')).filter(existsSync);
  assert.equal(await readFile(written[0] ?? '', 'utf8'), 'more\n');
  await stack.runtime.stopContainer({ containerId, timeout: 0n });
  assert.ok(existsSync(volumes));
  await stack.runtime.removeContainer({ containerId });
  assert.equal(existsSync(volumes), false);
  assert.equal((await stat(join(taken, 'mine'))).isFile(), true);
  await removePod(stack, pod.podSandboxId);
  assert.deepEqual(leaks(host, await hostOf(stack)), []);
});

test('the content of a VOLUME that is a link never comes from the host', async () => {
  const secret = join(stack.dir, 'secret');
  await mkdir(secret, { recursive: true });
  await writeFile(join(secret, 'key'), 'of the host\n');
  const up = '../'.repeat(30);
  const image = await importImage(stack, {
    name: 'evil-volumes',
    onBusybox: true,
    layers: [
      [
        { type: 'symlink', path: 'abs', target: secret },
        { type: 'symlink', path: 'rel', target: `${up}${secret.slice(1)}` },
        { type: 'symlink', path: 'dir', target: up },
      ],
    ],
    config: { Volumes: { '/abs': {}, '/rel': {}, [`/dir${secret}`]: {}, [`/${up}etc`]: {} } },
  });
  const pod = await runPod(stack, podConfig(stack, 'evil-volumes'));
  const config = shellContainer('thief', `ls -a /abs /rel /dir${secret}; cat /etc/passwd`, {
    image: { image: image.name },
  });
  const text = await outputOf(pod, config);
  assert.doesNotMatch(text, /\bkey\b/);
  // It is the image's own file, which names no more than two users beside root.
  assert.match(text, /^root:/m);
  assert.doesNotMatch(text, /^daemon:/m);
  await removePod(stack, pod.podSandboxId);
});

for (const [where, pattern] of [
  ['create-container:images:done', 'images'],
  ['create-container:volumes', 'volumes'],
  ['remove-container:images', 'removal'],
] as const) {
  test(`a crash at ${where} leaves no mount and no hold on an image`, async (t) => {
    const faultFile = join(stack.dir, `fault-${pattern}`);
    await using crashing = await startStack({ environment: { GANTRY_FAULT_FILE: faultFile } });
    t.diagnostic(crashing.dir);
    const image = await importImage(crashing, {
      name: 'data',
      layers: [[{ type: 'file', path: 'file', content: 'x' }]],
    });
    const host = await hostOf(crashing);
    const pod = await runPod(crashing, podConfig(crashing, `crash-${pattern}`));
    const config = withMounts('c', 'sleep 1000', [volume(image.name, '/data')]);
    if (pattern === 'removal') {
      const containerId = await startContainer(crashing, pod, config);
      await writeFile(faultFile, where);
      await crashing.runtime.removeContainer({ containerId }).catch(() => undefined);
    } else {
      await writeFile(faultFile, where);
      await crashing.runtime
        .createContainer({ podSandboxId: pod.podSandboxId, config })
        .catch(() => undefined);
    }
    await until(
      'the repair',
      () =>
        removePod(crashing, pod.podSandboxId).then(
          () => true,
          () => false,
        ),
      Boolean,
    );
    await until(
      'a clean host',
      async () => leaks(host, await hostOf(crashing)),
      (lines) => lines.length === 0,
    );
    // Nothing holds the layers any more.
    const layers = () => keptLayers(crashing);
    const before = await layers();
    await crashing.images.removeImage({ image: { image: image.name } });
    assert.equal((await layers()).length, before.length - 1);
  });
}
