import type { CallContext } from '@gantry/bus';
import type { AttachRequest } from '@gantry/proto';
import { acceptRemoteCommand } from '@gantry/remotecommand';
import type { StreamHttp } from '../http/stream-http.ts';
import type { AttachTargets } from '../ports.ts';
import { type ServeAttachDeps, serveAttach } from '../sessions/serve-attach.ts';
import { checkStreams } from './stream-request.ts';
import type { Timeouts } from './timeouts.ts';

export interface AttachDeps extends ServeAttachDeps {
  readonly targets: AttachTargets;
  readonly http: Pick<StreamHttp, 'url'>;
  readonly timeouts: Timeouts;
}

/** Answers with the URL at which one client may attach to the container (api.proto, Attach). */
export function attach(
  deps: AttachDeps,
): (request: AttachRequest, context: Pick<CallContext, 'signal'>) => Promise<{ url: string }> {
  return async (request, { signal }) => {
    checkStreams('attach', request);
    const { containerId, tty, stdin, stdout, stderr } = request;
    const target = await deps.targets.findAttach(containerId, { signal });
    const url = deps.http.url('attach', async (upgrade) => {
      await using session = await acceptRemoteCommand(
        upgrade.request,
        upgrade.socket,
        upgrade.head,
        { ...{ stdin, stdout, stderr, tty }, ...deps.timeouts, signal: upgrade.signal },
      );
      await serveAttach(deps, target, session);
    });
    return { url };
  };
}
