import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import {
  faultPoint,
  findTool,
  identifyProcess,
  type NamespaceWorker,
  run,
  startNamespaceWorker,
  tryIdmap,
  waitForExit,
} from '@gantry/host';
import type { ServiceContext, ServiceDefinition, StartedService } from '@gantry/service-kit';
import { startCniNetwork } from './adapters/cni-network.ts';
import {
  probeConfiguredHandlers,
  startConmonRuntime,
  stopConmonRuntime,
} from './adapters/conmon-runtime.ts';
import { hostLocks, hostMounts, hostNamespaces, hostProcesses } from './adapters/host.ts';
import { remoteRootFilesystems } from './adapters/image-service.ts';
import { Handlers } from './handlers.ts';
import { Paths } from './paths.ts';
import { handlerProblem } from './rpc/status.ts';
import { loadDefaultProfile } from './specs/apparmor.ts';
import { gatherHostFacts } from './specs/host-facts.ts';
import { openSpecs } from './specs/open-specs.ts';
import { readSelinuxHost, type SelinuxHost } from './specs/selinux-host.ts';
import {
  hostWithoutUserNamespaces,
  withoutUserNamespaces,
} from './specs/user-namespace-support.ts';
import { startSandboxService } from './start-sandbox-service.ts';
import { hostFigures } from './stats/figures.ts';
import { openRecords } from './store/records.ts';

const profileTimeoutMs = 30_000;

/** Pods and containers of one node. Any number of instances may run beside each other. */
export const service: ServiceDefinition = { name: 'sandbox', start };

async function start(context: ServiceContext): Promise<StartedService> {
  const { config, bus, log, metrics, instance } = context;
  const paths = new Paths(config);
  await using undo = new AsyncDisposableStack();
  const records = undo.use(openRecords(paths.records, instance));
  const namespaces = undo.use(startNamespaceWorker());
  const selinux: SelinuxHost = config.pods.selinux ? await readSelinuxHost() : { isOn: false };
  const [network, runtime, probed, facts] = await Promise.all([
    startCniNetwork(config),
    startConmonRuntime(config),
    probeConfiguredHandlers(config),
    gatherHostFacts({ selinux: selinux.isOn }),
  ]);
  undo.use(network);
  undo.defer(async () => {
    if (records.sandboxes.list().length === 0 && records.containers.list().length === 0) {
      await stopConmonRuntime(config);
    }
  });
  await mkdir(config.root_dir, { recursive: true });
  const noUsers = await hostWithoutUserNamespaces({
    kernel: facts.kernel,
    tryIdmap: () => tryIdmap(config.root_dir),
    stateDir: config.state_dir,
  });
  const handlers = new Handlers(
    [...probed.values()].map((handler) => {
      const noUserNamespaces = withoutUserNamespaces(handler, noUsers);
      return noUserNamespaces === undefined ? handler : { ...handler, noUserNamespaces };
    }),
    config.default_runtime,
  );
  for (const handler of handlers.all) {
    if (handler.unusable !== undefined) {
      log.warn(
        { handler: handler.name, reason: handler.unusable },
        'runtime handler is not usable',
      );
    }
  }
  if (facts.lowestOomScoreAdj > -1000) {
    log.warn(
      { lowest: facts.lowestOomScoreAdj },
      'no CAP_SYS_RESOURCE: lower oom_score_adj values are raised to what this host allows',
    );
  }
  const profileFault = await loadDefaultProfile({
    root: '/',
    parser: findTool('apparmor_parser'),
    run: (parser, args, text) =>
      run(parser, args, { stdin: Buffer.from(text), timeoutMs: profileTimeoutMs }),
  });
  if (profileFault !== undefined) {
    log.warn({ reason: profileFault }, 'the default AppArmor profile is not loaded');
  }
  if (selinux.problem !== undefined) {
    log.warn(
      { reason: selinux.problem },
      'SELinux is on without labels for containers: install a policy that has them, such as container-selinux',
    );
  }
  await warmUp(namespaces);
  const sandbox = undo.use(
    await startSandboxService({
      config,
      paths,
      records,
      handlers,
      network,
      runtime,
      namespaces: hostNamespaces(namespaces),
      log,
      metrics,
      faultPoint,
      ...(config.nri.enabled && {
        openPlugins: (await import('./nri/open-plugins.ts')).openPlugins(bus, facts),
      }),
      roots: remoteRootFilesystems(bus),
      mounts: hostMounts(log),
      locks: hostLocks,
      processes: hostProcesses,
      ...(selinux.policy && { selinux: selinux.policy }),
      specs: openSpecs({ facts, paths, handlers, records, config }),
      figures: hostFigures(namespaces),
      clock: () => BigInt(Date.now()) * 1_000_000n,
      version: packageVersion(),
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    }),
  );
  const running = undo.move();
  return {
    handlers: sandbox.handlers,
    health: () => Promise.resolve(sandbox.reconciliation.problem() ?? handlerProblem(handlers)),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Has the threads of @gantry/host start now, and not in the first pod's time. */
async function warmUp(namespaces: NamespaceWorker): Promise<void> {
  const self = await identifyProcess(process.pid);
  await Promise.all([
    namespaces.removeNetns('/proc/self/gantry-no-such-netns'),
    self && waitForExit(self, { signal: AbortSignal.timeout(1) }).catch(() => undefined),
  ]);
}

function packageVersion(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
