import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '@gantry/config';

/** One process to keep running. */
export interface ChildPlan {
  /** Unique; its log is <state_dir>/log/<name>.log. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Beside what the supervisor has itself, and before it: what a person set there holds. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The services, and the names that they have on the bus. */
export const serviceApps = {
  'cri-gateway': 'gateway',
  'image-service': 'image',
  'sandbox-service': 'sandbox',
  'stream-server': 'stream',
  'nri-broker': 'nri',
} as const;

export type ServiceApp = keyof typeof serviceApps;

/** Those that run with this config. */
export function enabledApps(config: Pick<Config, 'nri'>): readonly ServiceApp[] {
  const apps = Object.keys(serviceApps) as ServiceApp[];
  return apps.filter((app) => app !== 'nri-broker' || config.nri.enabled);
}

export const appsDir = join(import.meta.dirname, '../../..');

export interface PlanOptions {
  readonly configFile: string | undefined;
  readonly compact: boolean;
}

/**
 * The small young generation, in MB, keeps 15 to 100 MB of garbage out of each
 * service, and measured no slower.
 */
const nodeOptions = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=2'];

const order: readonly ServiceApp[] = [
  'image-service',
  'sandbox-service',
  'nri-broker',
  'stream-server',
  'cri-gateway',
];

/** The services that are to run, most basic first. NATS is not among them: it comes before. */
export function planServices(config: Config, options: PlanOptions): ChildPlan[] {
  const configArgs = options.configFile === undefined ? [] : ['--config', options.configFile];
  const node = (name: string, main: string): ChildPlan => ({
    name,
    command: process.execPath,
    args: [...nodeOptions, main, ...configArgs],
  });
  if (options.compact) {
    return [node('compact', join(import.meta.dirname, '../compact.ts'))];
  }
  const enabled = new Set(enabledApps(config));
  return order
    .filter((app) => enabled.has(app))
    .flatMap((app) =>
      Array.from({ length: config.services.replicas[app] }, (_, i) =>
        node(i === 0 ? app : `${app}-${i + 1}`, join(appsDir, app, 'src/main.ts')),
      ),
    );
}

/** How many instances of each service answer on the bus once all are up. */
export function expectedInstances(
  config: Config,
  compact: boolean,
): ReadonlyMap<ServiceApp, number> {
  return new Map(
    enabledApps(config)
      .filter((app) => existsSync(join(appsDir, app, 'src/service.ts')))
      .map((app) => [app, compact ? 1 : config.services.replicas[app]]),
  );
}
