import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { SecurityProfile_ProfileType as ProfileType } from '@gantry/proto';
import { newNode, ownProcesses, podConfig, startOn } from '../testing.ts';
import { gatherHostFacts } from './host-facts.ts';
import { openSpecs } from './open-specs.ts';

/** A service whose pods have no pause container, and whose specs are the real ones. */
async function start(t: TestContext) {
  const node = await newNode(t, { infra: 'none' });
  const facts = await gatherHostFacts({ selinux: false });
  const service = await startOn(t, { ...node, openSpecs: (deps) => openSpecs({ ...deps, facts }) });
  const run = (name: string, security: object) => {
    const securityContext = { ...ownProcesses.linux.securityContext, ...security };
    return service.call('runPodSandbox', {
      config: podConfig(name, { linux: { securityContext } }),
    });
  };
  return { node, run };
}

const localhost = (localhostRef: string) => ({
  seccomp: { profileType: ProfileType.Localhost, localhostRef },
});

test('a pod without a pause container is refused what it would be refused with one, and leaves nothing', async (t) => {
  const { node, run } = await start(t);
  const files = await mkdtemp(join(tmpdir(), 'specs-'));
  t.after(() => rm(files, { recursive: true }));
  await writeFile(join(files, 'broken.json'), '{');
  await writeFile(join(files, 'none.json'), '{"defaultAction":"SCMP_ACT_MAYBE"}');
  for (const [security, message] of [
    [{ runAsUser: { value: 2n ** 31n } }, /user: id 2147483648/],
    [{ runAsGroup: { value: 5n } }, /run_as_group/],
    [localhost('/no/such.json'), /seccomp profile \/no\/such\.json: not there/],
    [localhost('/etc'), /seccomp profile \/etc: not a plain small file/],
    [localhost(join(files, 'broken.json')), /broken\.json: not JSON/],
    [localhost(join(files, 'none.json')), /none\.json: defaultAction/],
    [{ apparmor: { profileType: 42 as ProfileType } }, /apparmor: unknown profile type/],
  ] as const) {
    await assert.rejects(run('web', security), (error: Error) => {
      assert.match(messageOf(error), /^run pod sandbox default\/web: spec: /);
      assert.match(messageOf(error), message);
      return isKind(error, 'invalid-argument');
    });
    assert.deepEqual(node.host.leftovers(), []);
  }
});

test('a pod without a pause container may ask for what is to be had', async (t) => {
  const { run } = await start(t);
  const files = await mkdtemp(join(tmpdir(), 'specs-'));
  t.after(() => rm(files, { recursive: true }));
  const profile = join(files, 'good.json');
  await writeFile(profile, '{"defaultAction":"SCMP_ACT_ALLOW"}');
  await run('one', localhost(profile));
  await run('two', { runAsUser: { value: 1000n }, supplementalGroups: [7n] });
  await run('three', { seccomp: { profileType: ProfileType.RuntimeDefault } });
});
