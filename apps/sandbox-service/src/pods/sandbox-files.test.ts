import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { NamespaceMode, PodSandboxConfigSchema } from '@gantry/proto';
import { FakeHost } from '../fake-host.ts';
import { Paths } from '../paths.ts';
import { hostnameOf, makeSandboxFiles, removeSandboxFiles } from './sandbox-files.ts';

const id = 'a'.repeat(64);

async function make(t: TestContext, init: MessageInitShape<typeof PodSandboxConfigSchema> = {}) {
  const base = await mkdtemp(join(tmpdir(), 'files-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  const host = new FakeHost();
  const deps = {
    paths: new Paths({ root_dir: base, state_dir: base }),
    mounts: host.instance().ports.mounts,
  };
  await makeSandboxFiles(deps, {
    id,
    config: create(PodSandboxConfigSchema, init),
    facts: { ownShm: true },
  });
  const read = (name: string) => readFile(join(deps.paths.sandbox(id), name), 'utf8');
  return { deps, host, read, base };
}

test('resolv.conf has what the pod asks for', async (t) => {
  const { read } = await make(t, {
    dnsConfig: {
      servers: ['10.0.0.10', '10.0.0.11'],
      searches: ['ns.svc.cluster.local', 'cluster.local'],
      options: ['ndots:5'],
    },
  });
  assert.equal(
    await read('resolv.conf'),
    'search ns.svc.cluster.local cluster.local\nnameserver 10.0.0.10\nnameserver 10.0.0.11\noptions ndots:5\n',
  );
});

test("without a wish it is the host's own, and so is hosts", async (t) => {
  const { read } = await make(t);
  const host = (name: string) => readFile(`/etc/${name}`, 'utf8').catch(() => '');
  assert.equal(await read('resolv.conf'), await host('resolv.conf'));
  assert.equal(await read('hosts'), await host('hosts'));
});

test('the files can be read by every user, whatever the umask', async (t) => {
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  const { deps } = await make(t);
  for (const name of ['hostname', 'hosts', 'resolv.conf']) {
    const { mode } = await stat(join(deps.paths.sandbox(id), name));
    assert.equal(mode & 0o777, 0o644, name);
  }
});

test('the pod has a shared memory of its own, and all is removed again', async (t) => {
  const { deps, host } = await make(t, { hostname: 'web' });
  assert.equal(host.mounts.get(deps.paths.shm(id)), 'tmpfs');
  await removeSandboxFiles(deps, id);
  await removeSandboxFiles(deps, id);
  assert.equal(host.mounts.size, 0);
  await assert.rejects(stat(deps.paths.sandbox(id)));
});

test("a pod's host name is its own, unless it has none or is on the network of the host", () => {
  const nameOf = (init: MessageInitShape<typeof PodSandboxConfigSchema>) =>
    hostnameOf(create(PodSandboxConfigSchema, init));
  const linux = { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } };
  assert.equal(nameOf({ hostname: 'web' }), 'web');
  assert.equal(nameOf({}), hostname());
  assert.equal(nameOf({ hostname: 'web', linux }), hostname());
});

test('a failure is told when nothing is in the making any more', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'files-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  const host = new FakeHost();
  const { promise: mounting, resolve } = Promise.withResolvers<void>();
  host.holds.set('mounts.tmpfs', mounting);
  const deps = {
    paths: new Paths({ root_dir: base, state_dir: base }),
    mounts: host.instance().ports.mounts,
  };
  await writeFile(join(base, 'file'), '');
  const config = create(PodSandboxConfigSchema, { logDirectory: join(base, 'file', 'logs') });
  const failed = assert.rejects(makeSandboxFiles(deps, { id, config, facts: { ownShm: true } }), {
    kind: 'invalid-argument',
    message: /log_directory/,
  });
  setTimeout(resolve, 20);
  await failed;
  // What undoes it would else have missed the mount.
  assert.equal(host.mounts.size, 1);
});
