/*
 * Run by real-chain.test.ts in network and mount namespaces of their own, so that bridge, links and
 * packet filter are nobody else's: attaches pods with the plugins of the distribution.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from '@gantry/host';
import type { PodNetwork } from '../ports.ts';
import { openCniNetwork } from './cni-network.ts';
import { somePod } from './fake-plugins.ts';

async function output(command: string, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await run(command, args);
  assert.equal(exitCode, 0, `${command} ${args.join(' ')}: ${stderr.toString()}`);
  return stdout.toString();
}

test('pods are attached to a real bridge and leave nothing when they are detached', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'gantry-chain-'));
  t.after(async () => {
    await run('umount', [join(dir, 'pod-plain'), join(dir, 'pod-mapped')]);
    await rm(dir, { recursive: true, force: true });
  });
  const bridge = `gt${randomBytes(4).toString('hex')}`;
  const leases = join(dir, 'leases', 'real');
  const confDir = join(dir, 'net.d');
  await mkdir(confDir);
  const ipam = {
    type: 'host-local',
    dataDir: join(dir, 'leases'),
    ranges: [[{ subnet: '10.199.7.0/24' }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const plugins = [
    { type: 'bridge', bridge, isGateway: true, ipMasq: true, ipam },
    { type: 'portmap', capabilities: { portMappings: true } },
  ];
  const list = { cniVersion: '1.0.0', name: 'real', plugins };
  await writeFile(join(confDir, '10-real.conflist'), JSON.stringify(list));
  const binDirs = ['/opt/cni/bin', '/usr/lib/cni'];
  const cacheDir = join(dir, 'cache');
  await using network = await openCniNetwork({ confDir, binDirs, timeoutMs: 30_000, cacheDir });
  const config = await network.plan();

  const makePod = async (id: string, mapped: boolean): Promise<PodNetwork> => {
    const netnsPath = join(dir, id);
    await writeFile(netnsPath, '');
    await output('unshare', `--net=${netnsPath}`, 'true');
    const mapping = { protocol: 'tcp', containerPort: 80, hostPort: 18080, hostIp: '' } as const;
    return { ...somePod, sandboxId: id, netnsPath, portMappings: mapped ? [mapping] : [] };
  };
  const rules = (): Promise<string> => output('iptables-save', '-t', 'nat');
  const leased = async (): Promise<string[]> =>
    (await readdir(leases)).filter((name) => name.startsWith('10.199.7.'));

  const plain = await makePod('pod-plain', false);
  const mapped = await makePod('pod-mapped', true);
  const [one, two] = await Promise.all([
    network.attach(plain, config),
    network.attach(mapped, config),
  ]);
  assert.equal(new Set([...one.ips, ...two.ips]).size, 2);
  assert.deepEqual((await leased()).sort(), [...one.ips, ...two.ips].sort());
  const [ip = ''] = one.ips;
  assert.match(
    await output('nsenter', `--net=${plain.netnsPath}`, 'ip', 'address'),
    new RegExp(ip),
  );
  assert.match(await rules(), /--dport 18080 .*DNAT --to-destination 10\.199\.7\.\d+:80/s);

  // The portmap calls that are left out for the plain pod would have made nothing.
  assert.doesNotMatch(await rules(), new RegExp(`CNI-DN.*${ip}`));
  await network.detach(plain, one);
  await network.detach(plain, one);
  assert.deepEqual(await leased(), two.ips);

  // As after a reboot of the pod's namespace: the lease and the mapping go all the same.
  await output('umount', mapped.netnsPath);
  await network.detach(mapped, two);
  assert.deepEqual(await leased(), []);
  assert.doesNotMatch(await rules(), /18080/);

  await assert.rejects(network.attach({ ...plain, netnsPath: '/no/such/netns' }, config), {
    message: /^cni ADD bridge \(network real, pod pod-plain\): .*\/no\/such\/netns/,
  });
  assert.deepEqual(await leased(), []);
});
