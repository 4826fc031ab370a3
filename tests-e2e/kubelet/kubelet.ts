import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:https';
import { join } from 'node:path';
import { env } from 'node:process';
import { text } from 'node:stream/consumers';
import { run } from '@gantry/host';
import { freePort } from '../harness/registry.ts';
import type { Stack } from '../harness/stack.ts';
import { until } from '../harness/until.ts';
import type { Pod } from './pods.ts';

export const nodeName = 'node1';

/** A container as the kubelet's status of its pod tells it. */
export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID?: string;
  readonly state: {
    readonly running?: object;
    readonly waiting?: { readonly reason: string };
    readonly terminated?: Termination;
  };
  readonly lastState: { readonly terminated?: Termination };
}

interface Termination {
  readonly exitCode: number;
  readonly reason: string;
  readonly message?: string;
}

export interface PodStatus {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

/** A kubelet on a stack, on its own: static pods, and no API server. */
export interface Kubelet extends AsyncDisposable {
  readonly logFile: string;
  /** What TLS clients trust it by. */
  readonly ca: string;
  readonly url: string;
  /** Has it run this pod; the same name again replaces the pod. */
  add(pod: Pod): Promise<void>;
  remove(name: string): Promise<void>;
  /** A pod by the name in its manifest, when it runs one. */
  pod(name: string): Promise<PodStatus | undefined>;
  /** The body of an answer of its API; throws when it is not a 200. */
  get(path: string): Promise<string>;
  /** Ends it and starts it anew. */
  restart(): Promise<void>;
}

export async function startKubelet(stack: Stack): Promise<Kubelet> {
  const dir = join(stack.dir, 'kubelet');
  const manifests = join(dir, 'manifests');
  const logFile = join(dir, 'kubelet.log');
  await mkdir(manifests, { recursive: true });
  const certificate = await selfSigned(dir);
  const port = await freePort();
  await writeConfig(stack, dir, port);
  const url = `https://127.0.0.1:${port}`;
  const ca = await readFile(certificate, 'utf8');
  let stop = await spawnKubelet(dir, logFile);

  const ask = async (path: string): Promise<string> => {
    const request = get(`${url}${path}`, { ca, agent: false });
    const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage];
    const body = await text(response);
    if (response.statusCode !== 200) {
      throw new Error(`kubelet ${path}: ${response.statusCode}: ${body}`);
    }
    return body;
  };
  const isUp = () =>
    until(
      'the kubelet answers',
      () => ask('/healthz').catch((error: unknown) => String(error)),
      (answer) => answer === 'ok',
      60_000,
    );
  const file = (name: string) => join(manifests, `${name}.json`);
  await isUp();
  return {
    logFile,
    ca,
    url,
    add: (pod) => writeFile(file(pod.metadata.name), JSON.stringify(pod)),
    remove: (name) => rm(file(name)),
    pod: async (name) => {
      const { items } = JSON.parse(await ask('/pods')) as { items: readonly PodStatus[] | null };
      return items?.find(({ metadata }) => metadata.name === `${name}-${nodeName}`);
    },
    get: ask,
    restart: async () => {
      await stop();
      stop = await spawnKubelet(dir, logFile);
      await isUp();
    },
    [Symbol.asyncDispose]: () => stop(),
  };
}

async function spawnKubelet(dir: string, logFile: string): Promise<() => Promise<void>> {
  const program = env['GANTRY_E2E_KUBELET'] ?? '';
  const log = openSync(logFile, 'a');
  const flags = { config: 'config.json', 'root-dir': 'root', 'cert-dir': 'certs' };
  const child = spawn(
    program,
    [
      ...Object.entries(flags).map(([flag, path]) => `--${flag}=${join(dir, path)}`),
      `--hostname-override=${nodeName}`,
      '--v=2',
    ],
    { stdio: ['ignore', log, log] },
  );
  await once(child, 'spawn');
  return async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  };
}

async function writeConfig(stack: Stack, dir: string, port: number): Promise<void> {
  await writeFile(
    join(dir, 'config.json'),
    JSON.stringify({
      apiVersion: 'kubelet.config.k8s.io/v1beta1',
      kind: 'KubeletConfiguration',
      containerRuntimeEndpoint: `unix://${stack.socket}`,
      staticPodPath: join(dir, 'manifests'),
      fileCheckFrequency: '1s',
      podLogsDir: join(dir, 'logs'),
      cgroupRoot: `${stack.cgroupParent}/kubelet`,
      // Gantry tells it which cgroup driver to use; this host has cgroup v1.
      failCgroupV1: false,
      failSwapOn: false,
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: 'AlwaysAllow' },
      address: '127.0.0.1',
      port,
      healthzPort: 0,
      tlsCertFile: join(dir, 'tls.crt'),
      tlsPrivateKeyFile: join(dir, 'tls.key'),
      makeIPTablesUtilChains: false,
      // What a host without CAP_SYS_RESOURCE allows.
      oomScoreAdj: 0,
      // Both rest on the runtime: its events, and its stats in place of cAdvisor's.
      featureGates: { EventedPLEG: true, PodAndContainerStatsFromCRI: true },
    }),
  );
}

async function selfSigned(dir: string): Promise<string> {
  const certificate = join(dir, 'tls.crt');
  const { exitCode, stderr } = await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-days', '2', '-subj', '/CN=kubelet', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ...['-keyout', join(dir, 'tls.key'), '-out', certificate],
  ]);
  if (exitCode !== 0) {
    throw new Error(`openssl: ${stderr.toString()}`);
  }
  return certificate;
}
