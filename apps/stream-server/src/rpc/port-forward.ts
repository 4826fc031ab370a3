import type { CallContext } from '@gantry/bus';
import { RuntimeError, shownId } from '@gantry/errors';
import type { PortForwardRequest } from '@gantry/proto';
import { acceptPortForward } from '@gantry/remotecommand';
import type { StreamHttp } from '../http/stream-http.ts';
import type { Dialer, PodTargets } from '../ports.ts';
import { servePortForward } from '../sessions/serve-port-forward.ts';
import type { Timeouts } from './timeouts.ts';

export interface PortForwardDeps {
  readonly targets: PodTargets;
  readonly dialer: Dialer;
  readonly http: Pick<StreamHttp, 'url'>;
  readonly timeouts: Timeouts;
  /** Aborts when this service stops. */
  readonly stopping: AbortSignal;
}

const maxPort = 65_535;

/** Answers with the URL at which one client may reach ports of the pod (api.proto, PortForward). */
export function portForward(
  deps: PortForwardDeps,
): (request: PortForwardRequest, context: Pick<CallContext, 'signal'>) => Promise<{ url: string }> {
  return async ({ podSandboxId, port: ports }, { signal }) => {
    if (podSandboxId === '') {
      throw new RuntimeError('invalid-argument', 'port-forward: pod_sandbox_id is missing');
    }
    const wrong = ports.find((port) => port < 1 || port > maxPort);
    if (wrong !== undefined) {
      throw new RuntimeError(
        'invalid-argument',
        `port-forward to sandbox ${shownId(podSandboxId)}: there is no port ${String(wrong)}`,
      );
    }
    const pod = await deps.targets.findPod(podSandboxId, { signal });
    const url = deps.http.url('portforward', async (upgrade) => {
      await using session = await acceptPortForward(upgrade.request, upgrade.socket, upgrade.head, {
        ports,
        ...deps.timeouts,
        signal: upgrade.signal,
      });
      const stop = (): void => {
        void session[Symbol.asyncDispose]();
      };
      deps.stopping.addEventListener('abort', stop, { once: true });
      session.gone.addEventListener('abort', () => {
        deps.stopping.removeEventListener('abort', stop);
      });
      await servePortForward(deps.dialer, pod, session);
    });
    return { url };
  };
}
