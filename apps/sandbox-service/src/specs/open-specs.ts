import { lstat, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '@gantry/config';
import { quote, RuntimeError } from '@gantry/errors';
import { resolveInRoot } from '@gantry/host';
import { type ImageConfig, parseImageConfig } from '@gantry/oci';
import {
  cdiDevicesOf,
  containerSpec,
  type HostFacts,
  linuxResources,
  namespacesOfPid,
  type PodNamespaces,
  parseSeccompProfile,
  pauseSpec,
  podSecurityOf,
  type SandboxFacts,
  type SeccompProfile,
  seccompRequestOf,
  stopSignalOf,
} from '@gantry/oci-spec';
import { NamespaceMode } from '@gantry/proto';
import { isShifted, shiftedSource } from '../containers/host-volumes.ts';
import { selinuxLabelsOf } from '../containers/selinux-labels.ts';
import { isMissing } from '../errno.ts';
import type { Handlers } from '../handlers.ts';
import type { Paths } from '../paths.ts';
import { pinsOf } from '../pods/pinned-namespaces.ts';
import { hostnameOf } from '../pods/sandbox-files.ts';
import { userNamespaceOf } from '../pods/user-namespace.ts';
import type { PreparedRoot, RuntimeHandler } from '../ports.ts';
import type { Container } from '../store/container-store.ts';
import type { Records } from '../store/records.ts';
import type { Sandbox } from '../store/sandbox-store.ts';
import { appArmorFacts } from './apparmor.ts';
import { withCdiDevices } from './cdi-devices.ts';
import { supports } from './handler-features.ts';
import { withHooks } from './hook-directories.ts';
import { devicesBelow, resolveDevice } from './host-devices.ts';
import type { StaticFacts } from './host-facts.ts';
import { resolveMounts } from './resolve-mounts.ts';
import type { Specs } from './specs.ts';

const maxAccountFileBytes = 4 << 20;
const maxProfileBytes = 4 << 20;

interface Deps {
  readonly facts: StaticFacts;
  readonly paths: Paths;
  readonly handlers: Handlers;
  readonly records: Pick<Records, 'findContainer'>;
  readonly config: Pick<Config, 'pods'>;
}

/** Gathers what a spec depends on, from the request, the image's root and the host, and has it made. */
export function openSpecs(deps: Deps): Specs {
  const { pods } = deps.config;
  return {
    async pause(sandbox, root) {
      const handler = deps.handlers.get(sandbox.facts.handler);
      const profile = await localhostProfile(sandbox.config.linux?.securityContext);
      return pauseSpec({
        ...(await shared(deps, sandbox.id, root, handler, false)),
        sandbox: sandboxFacts(deps, sandbox),
        ...(sandbox.facts.selinux && { selinux: sandbox.facts.selinux }),
        openFiles: pods.nofile_limit,
        unprivilegedPorts: pods.enable_unprivileged_ports,
        unprivilegedIcmp: pods.enable_unprivileged_icmp,
        ...(profile === undefined ? {} : { localhostSeccomp: profile }),
      });
    },

    async checkPod({ config, facts: { selinux } }) {
      const security = config.linux?.securityContext;
      if (security === undefined) {
        return;
      }
      const profile = await localhostProfile(security);
      const appArmor = security.apparmor && (await appArmorFacts());
      podSecurityOf(security, {
        host: { ...deps.facts, ...(appArmor && { appArmor }) },
        selinux,
        localhostSeccomp: profile,
      });
    },

    async container(container, sandbox, root, { images, declared }) {
      const { config, id } = container;
      const handler = deps.handlers.get(sandbox.facts.handler);
      const security = config.linux?.securityContext;
      const image = parseImageConfig(root.image.configJson, `image ${root.image.id}`);
      const [base, mounts, devices, profile] = await Promise.all([
        shared(deps, id, root, handler, security?.privileged === true),
        resolveMounts(config.mounts, {
          images,
          shifted: (mount, index) =>
            isShifted(mount) ? shiftedSource(deps.paths, id, index) : undefined,
        }),
        Promise.all(config.devices.map(resolveDevice)),
        localhostProfile(security),
      ]);
      const cdiDevices = cdiDevicesOf(config);
      const target = targetNamespace(deps, container);
      const selinux = selinuxLabelsOf(container, sandbox);
      const asked = containerSpec({
        ...base,
        id,
        config,
        mounts,
        volumes: declared,
        devices: devices.flat(),
        sandbox: sandboxFacts(deps, sandbox),
        ...(selinux && { selinux }),
        openFiles: pods.nofile_limit,
        privilegedWithoutHostDevices: handler.privilegedWithoutHostDevices,
        deviceOwnershipFromSecurityContext: pods.device_ownership_from_security_context,
        ...(target === undefined ? {} : { targetPidNamespace: target }),
        ...(profile === undefined ? {} : { localhostSeccomp: profile }),
      });
      const withDevices = await withCdiDevices(asked, cdiDevices, pods.cdi_spec_dirs);
      const subject = {
        annotations: { ...sandbox.config.annotations, ...config.annotations },
        command: asked.process.args[0] ?? '',
        hasBindMounts: config.mounts.length > 0,
      };
      const spec = await withHooks(withDevices, subject, pods.hooks_dirs);
      return { spec, stopSignal: stopSignalOf(config.stopSignal, image.stopSignal).number };
    },

    // A promise, so that limits without sense reject and do not throw.
    limits: (resources) => Promise.try(linuxResources, resources, deps.facts),
  };
}

async function shared(
  deps: Deps,
  ownerId: string,
  root: PreparedRoot,
  handler: RuntimeHandler,
  privileged: boolean,
): Promise<{
  host: HostFacts;
  image: ImageConfig;
  rootPath: string;
  passwd: string;
  group: string;
}> {
  const rootPath = deps.paths.rootfs(ownerId);
  const [appArmor, devices, passwd, group] = await Promise.all([
    appArmorFacts(),
    privileged ? devicesBelow('/dev') : [],
    textInRoot(rootPath, '/etc/passwd'),
    textInRoot(rootPath, '/etc/group'),
  ]);
  const host: HostFacts = {
    ...deps.facts,
    devices,
    recursiveReadOnly: supports(handler, 'rro'),
    idmapMounts: supports(handler, 'idmap'),
    ...(appArmor === undefined ? {} : { appArmor }),
  };
  const image = parseImageConfig(root.image.configJson, `image ${root.image.id}`);
  return { host, image, rootPath, passwd, group };
}

function sandboxFacts({ paths, handlers }: Deps, sandbox: Sandbox): SandboxFacts {
  const { id, config, facts } = sandbox;
  const directory = paths.sandbox(id);
  return {
    id,
    config,
    hostname: hostnameOf(config),
    cgroupParent: facts.cgroupParent,
    systemdCgroup: handlers.get(facts.handler).systemdCgroup,
    namespaces: podNamespaces(paths, sandbox),
    hostnamePath: join(directory, 'hostname'),
    hostsPath: join(directory, 'hosts'),
    resolvConfPath: join(directory, 'resolv.conf'),
    shmPath: facts.ownShm ? paths.shm(id) : '/dev/shm',
  };
}

/** Before there is a pause container, the pod has a network and users at most. */
function podNamespaces(paths: Paths, sandbox: Sandbox): PodNamespaces {
  const { id, config, facts } = sandbox;
  if (facts.infra === 'none') {
    return pinsOf(paths, sandbox);
  }
  const user = userNamespaceOf(paths, sandbox);
  const network = {
    ...(facts.hostNetwork ? {} : { network: paths.netns(id) }),
    ...(user === undefined ? {} : { user }),
  };
  if (facts.pause === undefined) {
    return network;
  }
  const { ipc, uts, pid } = namespacesOfPid(facts.pause.init.pid);
  const options = config.linux?.securityContext?.namespaceOptions;
  return {
    ...network,
    ...(options?.ipc === NamespaceMode.NODE ? {} : { ipc }),
    ...(facts.hostNetwork ? {} : { uts }),
    ...(options?.pid === NamespaceMode.NODE ? {} : { pid }),
  };
}

function targetNamespace(deps: Deps, { config, sandboxId }: Container): string | undefined {
  const options = config.linux?.securityContext?.namespaceOptions;
  if (options?.pid !== NamespaceMode.TARGET) {
    return undefined;
  }
  const target = options.targetId === '' ? undefined : deps.records.findContainer(options.targetId);
  if (target?.sandboxId !== sandboxId || target.phase !== 'running' || !target.facts.init) {
    throw new RuntimeError(
      'invalid-argument',
      `config.linux.security_context.namespace_options.target_id: ${quote(options.targetId)} is no running container of this pod`,
    );
  }
  return namespacesOfPid(target.facts.init.pid).pid;
}

async function localhostProfile(
  fields: Parameters<typeof seccompRequestOf>[0],
): Promise<SeccompProfile | undefined> {
  const request = seccompRequestOf(fields);
  if (request.type !== 'localhost') {
    return undefined;
  }
  const what = `seccomp profile ${request.path}`;
  try {
    const stats = await stat(request.path);
    // The client names any file of the host: no device that never ends.
    if (!stats.isFile() || stats.size > maxProfileBytes) {
      throw new RuntimeError('invalid-argument', `${what}: not a plain small file`);
    }
    return parseSeccompProfile(await readFile(request.path, 'utf8'), what);
  } catch (cause) {
    if (isMissing(cause)) {
      throw new RuntimeError('invalid-argument', `${what}: not there`, { cause });
    }
    throw cause;
  }
}

/** A file of the image as its own processes would see it; '' where there is none. */
async function textInRoot(root: string, path: string): Promise<string> {
  try {
    const file = await resolveInRoot(root, path);
    const stats = await lstat(file);
    // An image is a stranger's: no pipe that never ends, no file that fills our memory.
    if (!stats.isFile() || stats.size > maxAccountFileBytes) {
      throw new RuntimeError('invalid-argument', `${path} of the image: not a plain small file`);
    }
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isMissing(error)) {
      return '';
    }
    throw error;
  }
}
