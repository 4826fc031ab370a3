import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import type { OciSpec } from '@gantry/oci';
import { parseCdiName } from '@gantry/oci-spec';
import { withCdiDevices } from './cdi-devices.ts';
import { withHooks } from './hook-directories.ts';

const plain: OciSpec = {
  ociVersion: '1.0.2',
  process: { user: { uid: 0, gid: 0 }, args: ['/bin/app'], env: [], cwd: '/' },
  root: { path: 'rootfs' },
  mounts: [],
  linux: { namespaces: [] },
};

async function directories(t: TestContext): Promise<[string, string]> {
  const base = await mkdtemp(join(tmpdir(), 'gantry-specs-'));
  t.after(() => rm(base, { recursive: true }));
  await mkdir(join(base, 'a'));
  return [join(base, 'a'), join(base, 'not-there-yet')];
}

const cdi = (edits: string): string => `
cdiVersion: "0.6.0"
kind: vendor.example/dev
devices:
  - name: one
    containerEdits: ${edits}
`;
const one = [parseCdiName('vendor.example/dev=one', 'test')];

test('CDI files are read in both formats, at each use, from directories that may come later', async (t) => {
  const [a, b] = await directories(t);
  const dirs = [a, b];
  await assert.rejects(withCdiDevices(plain, one, dirs), (e) => isKind(e, 'invalid-argument'));
  await writeFile(join(a, 'dev.yaml'), cdi('{env: ["A=yaml"], deviceNodes: [{path: /dev/null}]}'));
  await writeFile(join(a, 'ignored.txt'), 'nonsense');
  const spec = await withCdiDevices(plain, one, dirs);
  assert.deepEqual(spec.process.env, ['A=yaml']);
  assert.deepEqual(spec.linux.devices, [
    { path: '/dev/null', type: 'c', major: 1, minor: 3, fileMode: 0o666 },
  ]);
  await mkdir(b);
  const json = {
    cdiVersion: '0.5.0',
    kind: 'vendor.example/dev',
    devices: [{ name: 'one', containerEdits: { env: ['A=json'] } }],
  };
  await writeFile(join(b, 'dev.json'), JSON.stringify(json));
  assert.deepEqual((await withCdiDevices(plain, one, dirs)).process.env, ['A=json']);
  assert.equal(await withCdiDevices(plain, [], dirs), plain);
});

test('a broken CDI file is named only where its device may be missed', async (t) => {
  const [a] = await directories(t);
  await writeFile(join(a, 'good.yaml'), cdi('{env: ["A=good"]}'));
  await writeFile(join(a, 'broken.yaml'), 'kind: [');
  await writeFile(join(a, 'wrong.json'), '{"kind": "v/c"}');
  await writeFile(
    join(a, 'bomb.yaml'),
    `a: &a [x,x]\nb: &b [${'*a,'.repeat(99)}]\nc: [${'*b,'.repeat(99)}]`,
  );
  assert.deepEqual((await withCdiDevices(plain, one, [a])).process.env, ['A=good']);
  const other = [parseCdiName('vendor.example/dev=two', 'test')];
  await assert.rejects(withCdiDevices(plain, other, [a]), (e) => {
    const message = messageOf(e);
    return ['dev=two', 'broken.yaml', 'wrong.json', 'bomb.yaml'].every((part) =>
      message.includes(part),
    );
  });
});

test('a node that is no device of the host is told', async (t) => {
  const [a] = await directories(t);
  await writeFile(join(a, 'x.yaml'), cdi('{deviceNodes: [{path: /dev/x, hostPath: /etc/passwd}]}'));
  await assert.rejects(
    withCdiDevices(plain, one, [a]),
    (e) => isKind(e, 'failed-precondition') && /\/etc\/passwd is no device/.test(messageOf(e)),
  );
});

test('hooks apply by their conditions, by name, and a later directory replaces files', async (t) => {
  const [a, b] = await directories(t);
  const file = (path: string, when: object) =>
    JSON.stringify({ version: '1.0.0', hook: { path }, when, stages: ['poststart'] });
  await writeFile(join(a, '20-all.json'), file('/all', { always: true }));
  await writeFile(join(a, '10-sh.json'), file('/sh', { commands: ['^/bin/sh$'] }));
  await writeFile(join(a, '05-app.json'), file('/app', { commands: ['^/bin/app$'] }));
  const subject = { annotations: {}, command: '/bin/app', hasBindMounts: false };
  const paths = async (dirs: string[]) =>
    (await withHooks(plain, subject, dirs)).hooks?.poststart?.map(({ path }) => path);
  assert.deepEqual(await paths([a, b]), ['/app', '/all']);
  await mkdir(b);
  await writeFile(join(b, '20-all.json'), file('/other', { always: true }));
  assert.deepEqual(await paths([a, b]), ['/app', '/other']);
  assert.equal(await paths([]), undefined);
  await writeFile(join(b, '99.json'), '{');
  await assert.rejects(paths([a, b]), (e) => /99\.json: /.test(messageOf(e)));
});
