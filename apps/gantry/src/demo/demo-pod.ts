import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Config } from '@gantry/config';
import { buildBusyboxImage, busyboxImageName } from '@gantry/debian-image';
import { RuntimeError } from '@gantry/errors';
import type { PodSandboxConfigSchema } from '@gantry/proto';
import type { CriConnection } from '../cri/connection.ts';

const answerLimitMs = 10_000;
const lookAgainMs = 100;

/** The pod of `gantry demo`: busybox serving a page over HTTP. */
export interface DemoPod extends AsyncDisposable {
  readonly podId: string;
  readonly containerId: string;
  readonly ip: string;
  readonly logFile: string;
}

/** Makes the busybox image out of the host's own program and imports it. */
export async function importBusybox(
  cri: CriConnection,
  config: Config,
  signal: AbortSignal,
): Promise<void> {
  const dir = await mkdtemp(join(config.state_dir, 'image-'));
  try {
    const { layoutDir } = await buildBusyboxImage(dir);
    await cri.importer.importImage({ path: layoutDir }, { signal });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Runs the pod. Disposing of it removes it with its logs; so does a failure on the way. */
export async function runDemoPod(
  cri: CriConnection,
  config: Config,
  signal: AbortSignal,
): Promise<DemoPod> {
  const uid = randomUUID();
  const logDirectory = join(config.state_dir, 'demo', uid);
  const sandboxConfig: MessageInitShape<typeof PodSandboxConfigSchema> = {
    metadata: { name: 'demo', namespace: 'gantry', uid, attempt: 0 },
    hostname: 'demo',
    logDirectory,
    linux: {},
  };
  await using undo = new AsyncDisposableStack();
  await mkdir(logDirectory, { recursive: true });
  undo.defer(() => rm(logDirectory, { recursive: true, force: true }));
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandboxConfig }, { signal });
  // Without the signal: what was made goes also when the person has pressed Ctrl-C.
  undo.defer(async () => {
    await cri.runtime.stopPodSandbox({ podSandboxId });
    await cri.runtime.removePodSandbox({ podSandboxId });
  });
  const { containerId } = await cri.runtime.createContainer(
    {
      podSandboxId,
      sandboxConfig,
      config: {
        metadata: { name: 'web', attempt: 0 },
        image: { image: busyboxImageName },
        command: ['sh', '-c', 'echo "serving /www on port 80"; exec httpd -f -vv -p 80 -h /www'],
        logPath: 'web.log',
        linux: {},
      },
    },
    { signal },
  );
  await cri.runtime.startContainer({ containerId }, { signal });
  const { status } = await cri.runtime.podSandboxStatus({ podSandboxId }, { signal });
  const ip = status?.network?.ip ?? '';
  if (ip === '') {
    throw new RuntimeError('failed-precondition', 'the pod has no IP address');
  }
  const made = undo.move();
  return {
    podId: podSandboxId,
    containerId,
    ip,
    logFile: join(logDirectory, 'web.log'),
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

/** The page of the pod, as soon as it answers; at most 10 s. */
export async function fetchPage(ip: string, signal: AbortSignal): Promise<string> {
  const url = `http://${ip.includes(':') ? `[${ip}]` : ip}/`;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(answerLimitMs)]);
  for (;;) {
    try {
      const response = await fetch(url, { signal: limit });
      return `${url} answered ${response.status}:\n${await response.text()}`;
    } catch (cause) {
      signal.throwIfAborted();
      if (limit.aborted) {
        throw new RuntimeError(
          'unavailable',
          `${url}: no answer within ${answerLimitMs / 1000} s. Does a firewall stand between host and pod?`,
          { cause },
        );
      }
      await sleep(lookAgainMs, undefined, { signal });
    }
  }
}
