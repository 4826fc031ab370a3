import type { CallContext } from '@gantry/bus';
import { RuntimeError, shownId } from '@gantry/errors';
import type { ExecRequest } from '@gantry/proto';
import { acceptRemoteCommand } from '@gantry/remotecommand';
import type { StreamHttp } from '../http/stream-http.ts';
import { type ServeExecDeps, serveExec } from '../sessions/serve-exec.ts';
import { checkStreams } from './stream-request.ts';
import type { Timeouts } from './timeouts.ts';

export interface ExecDeps extends ServeExecDeps {
  readonly http: Pick<StreamHttp, 'url'>;
  readonly timeouts: Timeouts;
}

/** Answers with the URL at which one client may run the command of the request (api.proto, Exec). */
export function exec(
  deps: ExecDeps,
): (request: ExecRequest, context: Pick<CallContext, 'signal'>) => Promise<{ url: string }> {
  return async (request, { signal }) => {
    checkStreams('exec', request);
    const { containerId, cmd, tty, stdin, stdout, stderr } = request;
    const where = `exec container ${shownId(containerId)}`;
    if (cmd.length === 0) {
      throw new RuntimeError('invalid-argument', `${where}: cmd is empty`);
    }
    if (cmd.some((arg) => arg.includes('\0'))) {
      throw new RuntimeError('invalid-argument', `${where}: cmd has a zero byte in it`);
    }
    const target = await deps.targets.find(containerId, { signal, fresh: true });
    const url = deps.http.url('exec', async (upgrade) => {
      await using session = await acceptRemoteCommand(
        upgrade.request,
        upgrade.socket,
        upgrade.head,
        { ...{ stdin, stdout, stderr, tty }, ...deps.timeouts, signal: upgrade.signal },
      );
      await serveExec(deps, { target, cmd, stdin, tty }, session);
    });
    return { url };
  };
}
