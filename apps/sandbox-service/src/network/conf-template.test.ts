import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isKind, messageOf } from '@gantry/errors';
import { renderTemplate } from './conf-template.ts';
import { generateConfig, parsePodCidr } from './generate-config.ts';

const fields = {
  PodCIDR: '10.1.0.0/24',
  PodCIDRRanges: ['10.1.0.0/24', 'fd00::/64'],
  Routes: ['0.0.0.0/0', '::/0'],
};

for (const [template, expected] of [
  ['a {{.PodCIDR}} b', 'a 10.1.0.0/24 b'],
  ['{{range .Routes}}<{{.}}>{{end}}', '<0.0.0.0/0><::/0>'],
  ['{{range $i, $r := .Routes}}{{if $i}}, {{end}}{{$r}}{{end}}', '0.0.0.0/0, ::/0'],
  ['{{range $r := .Routes}}{{$r}};{{end}}', '0.0.0.0/0;::/0;'],
  ['{{if .PodCIDR}}yes{{else}}no{{end}}', 'yes'],
  ['x\n  {{- range .Routes }} {{ . }} {{- end }}', 'x 0.0.0.0/0 ::/0'],
  ['{{/* a note */}}x', 'x'],
  ['no action', 'no action'],
] as const) {
  test(`${JSON.stringify(template)} gives ${JSON.stringify(expected)}`, () => {
    assert.equal(renderTemplate(template, fields), expected);
  });
}

test('an empty list takes the other branch', () => {
  const empty = { ...fields, Routes: [] };
  assert.equal(renderTemplate('{{range .Routes}}x{{else}}none{{end}}', empty), 'none');
  assert.equal(renderTemplate('{{if .Routes}}x{{else}}none{{end}}', empty), 'none');
});

for (const template of [
  '{{.NoSuchField}}',
  '{{$x}}',
  '{{printf "%s" .PodCIDR}}',
  '{{range .PodCIDR}}x{{end}}',
  '{{range .Routes}}x',
  '{{end}}',
  '{{if .PodCIDR}}x{{else}}y',
  '{{}}',
]) {
  test(`${template} is refused with the part that is not understood`, () => {
    assert.throws(
      () => renderTemplate(template, fields),
      (e) => isKind(e, 'failed-precondition') && /not understood/.test(messageOf(e)),
    );
  });
}

test('ranges are told from what is none', () => {
  assert.deepEqual(parsePodCidr('10.0.0.0/24, fd00::/64'), ['10.0.0.0/24', 'fd00::/64']);
  for (const bad of [
    '10.0.0.0',
    '10.0.0.0/33',
    'fd00::/129',
    'x/24',
    '10.0.0.0/24,',
    '1.2.3.4/8/9',
  ]) {
    assert.throws(
      () => parsePodCidr(bad),
      (e) => isKind(e, 'invalid-argument'),
      bad,
    );
  }
});

async function bed(t: TestContext, template: string) {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-template-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const confDir = join(dir, 'net.d');
  await mkdir(confDir);
  await writeFile(join(dir, 'template'), template);
  return { confDir, template: join(dir, 'template') };
}

const template = `{
  "cniVersion": "1.0.0", "name": "pods",
  "plugins": [{ "type": "bridge", "ipam": { "type": "host-local",
    "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
    "routes": [{{range $i, $route := .Routes}}{{if $i}}, {{end}}{"dst": "{{$route}}"}{{end}}] } }]
}`;

test("containerd's template of two families becomes a configuration, written once", async (t) => {
  const options = await bed(t, template);
  await generateConfig(options, ['10.1.0.0/24', 'fd00::/64']);
  const file = join(options.confDir, '10-gantry.conflist');
  const { plugins } = JSON.parse(await readFile(file, 'utf8')) as {
    plugins: { ipam: { ranges: unknown; routes: unknown } }[];
  };
  assert.deepEqual(plugins[0]?.ipam.ranges, [
    [{ subnet: '10.1.0.0/24' }],
    [{ subnet: 'fd00::/64' }],
  ]);
  assert.deepEqual(plugins[0].ipam.routes, [{ dst: '0.0.0.0/0' }, { dst: '::/0' }]);
  const before = await stat(file);
  await generateConfig(options, ['10.1.0.0/24', 'fd00::/64']);
  assert.equal((await stat(file)).ino, before.ino);
  await generateConfig(options, ['10.2.0.0/24']);
  assert.match(await readFile(file, 'utf8'), /10\.2\.0\.0/);
});

test('a template that gives no configuration is refused, and nothing is written', async (t) => {
  for (const bad of ['{', '{"name": "x"}', '{{.Nonsense}}']) {
    const options = await bed(t, bad);
    await assert.rejects(
      generateConfig(options, ['10.1.0.0/24']),
      (e) => isKind(e, 'failed-precondition') && messageOf(e).includes(options.template),
      bad,
    );
    assert.deepEqual(await readdir(options.confDir), []);
  }
  const { confDir } = await bed(t, '');
  await assert.rejects(
    generateConfig({ confDir, template: join(confDir, 'none') }, ['10.1.0.0/24']),
    (e) => isKind(e, 'failed-precondition'),
  );
});
