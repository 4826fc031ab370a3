import type { Config } from '@gantry/config';
import { messageOf } from '@gantry/errors';
import { type CgroupLayout, detectCgroups } from '@gantry/host';
import { type Finding, fail, ok, warn } from './finding.ts';
import type { HostFiles } from './host-files.ts';

const wanted = ['cpu', 'cpuset', 'memory', 'pids'];

/** The layout of the host, and our driver against systemd's presence. */
export async function checkCgroups(config: Config, files: HostFiles): Promise<Finding[]> {
  let layout: CgroupLayout;
  try {
    layout = await detectCgroups();
  } catch (error) {
    return [
      fail(
        'cgroups',
        messageOf(error),
        'mount them: systemd does, or apt-get install cgroupfs-mount',
      ),
    ];
  }
  const missing = wanted.filter((name) => !layout.controllers.includes(name));
  const found = `${layout.version}, with ${layout.controllers.join(', ')}`;
  return [
    missing.length === 0
      ? ok('cgroups', found)
      : fail('cgroups', found, `enable the controllers ${missing.join(', ')} at boot`),
    checkDriver(config, files),
  ];
}

/** The driver of the default runtime. */
export function ourDriver(config: Config): 'systemd' | 'cgroupfs' {
  const runtime = config.runtimes[config.default_runtime];
  return runtime?.systemd_cgroup === true ? 'systemd' : 'cgroupfs';
}

function checkDriver(config: Config, files: HostFiles): Finding {
  const driver = ourDriver(config);
  const key = `runtimes.${config.default_runtime}.systemd_cgroup`;
  const hasSystemd = files.exists('/run/systemd/system');
  if (driver === 'systemd' && !hasSystemd) {
    return fail('cgroup driver', 'systemd, but systemd does not run here', `set ${key} = false`);
  }
  return driver === 'cgroupfs' && hasSystemd
    ? warn(
        'cgroup driver',
        'cgroupfs, on a host with systemd',
        `two managers of one tree are a risk under load: set ${key} = true, and cgroupDriver: systemd in the kubelet`,
      )
    : ok('cgroup driver', driver);
}
