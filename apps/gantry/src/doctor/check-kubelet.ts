import type { Config } from '@gantry/config';
import { parse } from 'yaml';
import { ourDriver } from './check-cgroups.ts';
import { type Finding, fail, ok, warn } from './finding.ts';
import type { HostFiles } from './host-files.ts';

const configFile = '/var/lib/kubelet/config.yaml';
const flagsFile = '/var/lib/kubelet/kubeadm-flags.env';

interface KubeletConfig {
  readonly cgroupDriver?: unknown;
  readonly containerRuntimeEndpoint?: unknown;
}

/** Whether a kubelet of this host points at us and manages cgroups as we do. No kubelet is no fault. */
export function checkKubelet(config: Config, files: HostFiles): Finding[] {
  const text = files.read(configFile);
  if (text === undefined) {
    return [ok('kubelet', `no config at ${configFile}`)];
  }
  let kubelet: KubeletConfig;
  try {
    kubelet = (parse(text) ?? {}) as KubeletConfig;
  } catch {
    return [fail('kubelet', `${configFile} is no YAML`, 'mend it: the kubelet can not start')];
  }
  return [checkKubeletDriver(config, kubelet), checkEndpoint(config, kubelet, files)];
}

function checkKubeletDriver(config: Config, kubelet: KubeletConfig): Finding {
  const ours = ourDriver(config);
  // The kubelet's own default, for one that does not ask the runtime.
  const theirs = typeof kubelet.cgroupDriver === 'string' ? kubelet.cgroupDriver : 'cgroupfs';
  return ours === theirs
    ? ok('kubelet cgroupDriver', theirs)
    : fail(
        'kubelet cgroupDriver',
        `${theirs}, ours is ${ours}`,
        `set cgroupDriver: ${ours} in ${configFile}, or runtimes.${config.default_runtime}.systemd_cgroup = ${theirs === 'systemd'}`,
      );
}

function checkEndpoint(config: Config, kubelet: KubeletConfig, files: HostFiles): Finding {
  const flag = /--container-runtime-endpoint[= ]"?([^\s"]+)/.exec(files.read(flagsFile) ?? '')?.[1];
  const key = kubelet.containerRuntimeEndpoint;
  const endpoint = flag ?? (typeof key === 'string' ? key : '');
  const ours = `unix://${config.grpc.socket}`;
  const isOurs = endpoint === ours || endpoint === config.grpc.socket;
  return isOurs
    ? ok('kubelet endpoint', endpoint)
    : warn(
        'kubelet endpoint',
        endpoint || 'not set',
        `to use Gantry: containerRuntimeEndpoint: ${ours} in ${configFile}${flag === undefined ? '' : ` and no flag in ${flagsFile}`}`,
      );
}
