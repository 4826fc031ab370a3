import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { completeConfig } from '@gantry/config';
import { testDir } from '../testing-dir.ts';
import { checkOverlay } from './check-host.ts';
import { checkKernel } from './check-kernel.ts';
import { checkKubelet } from './check-kubelet.ts';
import { checkStack, whyUnusable } from './check-stack.ts';
import { checkCni, checkTools, pluginTypes } from './check-tools.ts';
import { type Finding, fail, findingsText, ok, warn } from './finding.ts';
import { type HostFiles, hostFiles } from './host-files.ts';

function host(t: TestContext, files: Readonly<Record<string, string>>): HostFiles {
  const root = testDir(t);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return hostFiles(root);
}

const verdicts = (findings: readonly Finding[]): Record<string, string> =>
  Object.fromEntries(findings.map((f) => [f.check, f.verdict]));
const config = completeConfig({});
const withSystemd = completeConfig({ runtimes: { runc: { systemd_cgroup: true } } });
const endpoint = 'containerRuntimeEndpoint: unix:///run/gantry/gantry.sock\n';

test('the table ends with what to do and the count', () => {
  assert.equal(
    findingsText([ok('a', 'yes'), warn('b', 'old', 'renew it'), fail('c', 'none', 'get one')]),
    [
      '      CHECK  FOUND',
      'ok    a      yes',
      'warn  b      old',
      'fail  c      none',
      '',
      'To do:',
      '  warn  b: renew it',
      '  fail  c: get one',
      '',
      '1 ok, 1 warning, 1 failure',
      '',
    ].join('\n'),
  );
});

test('a quiet table leaves out what is ok, and counts it', () => {
  const findings = [ok('a', 'yes'), ok('b', 'yes'), warn('c', 'old', 'renew it')];
  assert.equal(
    findingsText(findings, true),
    [
      '      CHECK  FOUND',
      'warn  c      old',
      '',
      'To do:',
      '  warn  c: renew it',
      '',
      '2 ok, 1 warning, 0 failures',
      '',
    ].join('\n'),
  );
  assert.equal(findingsText(findings.slice(0, 2), true), '2 ok, 0 warnings, 0 failures\n');
});

test("a kubelet's cgroup driver must be ours", (t) => {
  const systemd = host(t, { '/var/lib/kubelet/config.yaml': `cgroupDriver: systemd\n${endpoint}` });
  assert.equal(verdicts(checkKubelet(withSystemd, systemd))['kubelet cgroupDriver'], 'ok');
  const [driver] = checkKubelet(config, systemd);
  assert.equal(driver?.verdict, 'fail');
  assert.match(driver.fix ?? '', /cgroupDriver: cgroupfs .* runtimes\.runc\.systemd_cgroup = true/);
  // One that says nothing uses cgroupfs.
  const silent = host(t, { '/var/lib/kubelet/config.yaml': endpoint });
  assert.deepEqual(verdicts(checkKubelet(config, silent)), {
    'kubelet cgroupDriver': 'ok',
    'kubelet endpoint': 'ok',
  });
});

test("a kubelet's flag wins over its file when it names the socket", (t) => {
  const files = host(t, {
    '/var/lib/kubelet/config.yaml': endpoint,
    '/var/lib/kubelet/kubeadm-flags.env':
      'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock"\n',
  });
  const found = checkKubelet(config, files).find((f) => f.check === 'kubelet endpoint');
  assert.equal(found?.found, 'unix:///run/containerd/containerd.sock');
  assert.equal(found.verdict, 'warn');
});

test('no kubelet is no fault, a broken one is', (t) => {
  assert.deepEqual(verdicts(checkKubelet(config, host(t, {}))), { kubelet: 'ok' });
  const broken = host(t, { '/var/lib/kubelet/config.yaml': 'a: [' });
  assert.deepEqual(verdicts(checkKubelet(config, broken)), { kubelet: 'fail' });
});

test('a kernel that lacks what pods need is told, one that has it passes', (t) => {
  const namespaces = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts'];
  const full = host(t, {
    ...Object.fromEntries(namespaces.map((name) => [`/proc/self/ns/${name}`, ''])),
    '/proc/self/status': 'Name:\tx\nSeccomp:\t0\n',
    '/proc/sys/user/max_user_namespaces': '100\n',
    '/proc/filesystems': 'nodev\toverlay\n',
    '/sys/module/veth/x': '',
    '/lib/modules/6.1/modules.dep': 'kernel/net/bridge/bridge.ko: kernel/llc.ko\n',
    '/proc/sys/net/ipv4/ip_forward': '1\n',
    '/proc/sys/net/bridge/bridge-nf-call-iptables': '1\n',
  });
  const passed = checkKernel(full, '6.1');
  assert.deepEqual(new Set(Object.values(verdicts(passed))), new Set(['ok']));
  const found = checkKernel(host(t, {}), '6.1');
  assert.deepEqual(verdicts(found), {
    namespaces: 'fail',
    seccomp: 'warn',
    'user namespaces': 'warn',
    'kernel modules': 'warn',
    ip_forward: 'warn',
    'bridge-nf-call-iptables': 'warn',
  });
  assert.ok(found.every((f) => f.fix !== undefined));
});

test('the plugins of the first network configuration must be there', (t) => {
  const dir = testDir(t);
  const bin = join(dir, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'bridge'), '');
  const files = hostFiles();
  const cni = completeConfig({ cni: { conf_dir: dir, bin_dirs: [bin] } });
  assert.deepEqual(verdicts(checkCni(cni, files)), { 'CNI config': 'warn' });
  writeFileSync(join(dir, '20-second.conf'), '{"type": "ptp"}');
  writeFileSync(
    join(dir, '10-first.conflist'),
    '{"plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]}',
  );
  const [, plugins] = checkCni(cni, files);
  assert.equal(plugins?.verdict, 'fail');
  assert.match(plugins.found, /^host-local not in/);
  writeFileSync(join(bin, 'host-local'), '');
  assert.deepEqual(verdicts(checkCni(cni, files)), { 'CNI config': 'ok', 'CNI plugins': 'ok' });
  writeFileSync(join(dir, '10-first.conflist'), 'no JSON');
  assert.deepEqual(verdicts(checkCni(cni, files)), { 'CNI config': 'fail' });
  assert.equal(pluginTypes('{}'), undefined);
});

test('a missing tool fails where the default needs it and warns where it does not', async () => {
  const tools = completeConfig({
    runtimes: { runc: { path: '/nonexistent/runc' }, crun: { path: '/nonexistent/crun' } },
    pods: { conmon_path: process.execPath },
  });
  const found = await checkTools(tools);
  assert.equal(verdicts(found)['runtime runc'], 'fail');
  assert.equal(verdicts(found)['runtime crun'], 'warn');
  assert.equal(found.find((f) => f.check === 'runtime runc')?.fix, 'apt-get install runc');
  const conmon = found.find((f) => f.check === 'conmon');
  assert.equal(conmon?.found, `${process.version} (${process.execPath})`);
});

test('why a handler can not be used is told in the words of its probe', () => {
  const told = JSON.stringify([{ name: 'runc' }, { name: 'crun', unusable: 'hybrid mode' }]);
  assert.equal(whyUnusable(told, 'crun'), 'hybrid mode');
  assert.equal(whyUnusable(told, 'kata'), 'can not run containers on this host');
  assert.equal(whyUnusable(undefined, 'crun'), 'can not run containers on this host');
});

const asRoot = { skip: process.getuid?.() === 0 ? false : 'mounting needs root' };

test('the overlay check mounts one and leaves nothing behind', asRoot, async (t) => {
  const dir = testDir(t);
  const finding = await checkOverlay(completeConfig({ root_dir: dir }));
  assert.equal(finding.verdict, 'ok', finding.found);
  assert.deepEqual(hostFiles(dir).list('/'), []);
});

test('a stack that is not up is a warning, not a failure', async (t) => {
  const dir = testDir(t);
  const findings = await checkStack(completeConfig({ state_dir: dir }));
  assert.deepEqual(verdicts(findings), { stack: 'warn' });
});
