import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bindMount, findTool, run } from '@gantry/host';
import type { Stack } from '../harness/stack.ts';

/** What the node is reached by, in the network namespace of the run. */
const nodeAddress = '10.200.0.1';

const clusterDomain = 'cluster.local';

/** Gives the run's network namespace an address and a way out, as a kubelet wants; no packet leaves it. */
export async function prepareNode(): Promise<void> {
  for (const line of [
    'link add node0 type veth peer name node0-end',
    'link set node0-end up',
    `addr add ${nodeAddress}/24 dev node0`,
    'link set node0 up',
    'route add default dev node0',
  ]) {
    const { exitCode, stderr } = await run('ip', line.split(' '));
    if (exitCode !== 0) {
      throw new Error(`ip ${line}: ${stderr.toString()}`);
    }
  }
  // The suite starts the kubelet through systemd where it finds this; there is none in these namespaces.
  const systemdRun = findTool('systemd-run');
  if (systemdRun !== undefined) {
    await bindMount({ source: '/dev/null', target: systemdRun });
  }
}

export interface SuiteArgs {
  readonly stack: Stack;
  readonly kubelet: string;
  /** Where its files are made. */
  readonly dir: string;
}

/** The arguments of the suite: which runtime, and a kubelet that leaves the host alone. */
export async function suiteArgs({ stack, kubelet, dir }: SuiteArgs): Promise<readonly string[]> {
  await mkdir(dir, { recursive: true });
  const [binDir, config, systemSpec] = ['bin', 'kubelet.json', 'system.yaml'].map((name) =>
    join(dir, name),
  ) as [string, string, string];
  await mkdir(binDir);
  await symlink(kubelet, join(binDir, 'kubelet'));
  await writeFile(
    config,
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      cgroupRoot: `${stack.cgroupParent}/kubelet`,
      podCIDR: `${stack.addressPrefix}0/24`,
      clusterDomain,
      // Without it the metrics of containers are cAdvisor's, which knows containerd's and CRI-O's sockets only.
      featureGates: { PodAndContainerStatsFromCRI: true },
      // This host has cgroup v1, maybe swap, and no CAP_SYS_RESOURCE.
      failCgroupV1: false,
      failSwapOn: false,
      oomScoreAdj: 0,
      makeIPTablesUtilChains: false,
      serializeImagePulls: false,
      volumeStatsAggPeriod: '10s',
      fileCheckFrequency: '10s',
      evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '1%' },
    }),
  );
  // What the suite asks of a host is not what is tested here.
  await writeFile(systemSpec, 'os: Linux\nkernelSpec:\n  versions: [".*"]\n');
  await chmod(dir, 0o755);
  const kubeletFlags = [
    `--node-ip=${nodeAddress}`,
    '--kubelet-cgroups=',
    '--system-cgroups=',
    '--runtime-cgroups=',
  ];
  return [
    `--container-runtime-endpoint=unix://${stack.socket}`,
    `--k8s-bin-dir=${binDir}`,
    `--kubelet-config-file=${config}`,
    `--kubelet-flags=${kubeletFlags.join(' ')}`,
    `--system-spec-file=${systemSpec}`,
    `--report-dir=${dir}`,
    '--node-name=node1',
    '--prepull-images=false',
    `--dns-domain=${clusterDomain}`,
  ];
}
