import { discoveryName } from './discovery.ts';
import { inboxPrefix, type ServiceName, serviceNames, serviceSubjects } from './subjects.ts';

/** What a user may do on the server. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Which services each service may call. */
const callees: Readonly<Record<ServiceName, readonly ServiceName[]>> = {
  gateway: ['image', 'sandbox', 'stream', 'nri'],
  image: [],
  sandbox: ['image', 'nri'],
  stream: ['sandbox'],
  nri: ['sandbox'],
  cli: ['gateway', 'image', 'sandbox', 'stream', 'nri'],
};

// The command line goes through the gateway's socket; on the bus it may only look.
const readingMethods: readonly string[] = [
  ...[
    'ContainerStats',
    'ContainerStatus',
    'GetContainerEvents',
    'ListContainerStats',
    'ListContainers',
    'ListMetricDescriptors',
    'ListPodSandbox',
    'ListPodSandboxMetrics',
    'ListPodSandboxStats',
    'PodSandboxStats',
    'PodSandboxStatus',
    'RuntimeConfig',
    'Status',
    'Version',
  ].map((name) => `runtime.v1.RuntimeService/${name}`),
  ...['ImageFsInfo', 'ImageStatus', 'ListImages'].map((name) => `runtime.v1.ImageService/${name}`),
  'gantry.image.v1.RootFilesystems/ListRoots',
  'gantry.sandbox.v1.Diagnostics/Explain',
];

// What service-kit offers in every service.
const adminMethods: readonly string[] = ['gantry.admin/Metrics', 'gantry.admin/Health'];

/** The subjects that a service may publish and subscribe on `node`. README.md has the table. */
export function permissionsOf(node: string, service: ServiceName): Permissions {
  const callers = serviceNames.filter((name) => callees[name].includes(service));
  const replies = callers.map((caller) => `${inboxPrefix(caller)}.>`);
  const inbox = `${inboxPrefix(service)}.>`;
  if (service === 'cli') {
    return { publish: [...readings(node), '$SRV.>'], subscribe: [inbox] };
  }
  const calls = callees[service].map((callee) => `${serviceSubjects(node, callee).root}.>`);
  return {
    publish: [...calls, ...replies],
    subscribe: [`${serviceSubjects(node, service).root}.>`, inbox, ...discovery(service)],
  };
}

function readings(node: string): string[] {
  return callees.cli.flatMap((callee) => {
    const subjects = serviceSubjects(node, callee);
    return [
      ...readingMethods.map((method) => subjects.request(method)),
      ...adminMethods.map((method) => subjects.every(method)),
      // Beats, acks and cancels of its own calls; the keys of others can't be guessed.
      subjects.callsOf('*'),
    ];
  });
}

function discovery(service: ServiceName): string[] {
  const name = discoveryName(service);
  return ['PING', 'INFO', 'STATS'].flatMap((verb) => [
    `$SRV.${verb}`,
    `$SRV.${verb}.${name}`,
    `$SRV.${verb}.${name}.*`,
  ]);
}
