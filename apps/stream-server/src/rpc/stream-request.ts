import { RuntimeError, shownId } from '@gantry/errors';

/** What Exec and Attach have in common. */
export interface StreamRequest {
  readonly containerId: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Throws `invalid-argument` for what both peers refuse (k8s.io/kubelet, cri/streaming). */
export function checkStreams(verb: 'exec' | 'attach', request: StreamRequest): void {
  const { containerId, tty, stdin, stdout, stderr } = request;
  if (containerId === '') {
    throw new RuntimeError('invalid-argument', `${verb}: container_id is missing`);
  }
  const where = `${verb} container ${shownId(containerId)}`;
  if (tty && stderr) {
    throw new RuntimeError('invalid-argument', `${where}: tty and stderr cannot both be true`);
  }
  if (!stdin && !stdout && !stderr) {
    throw new RuntimeError(
      'invalid-argument',
      `${where}: one of stdin, stdout, or stderr must be set`,
    );
  }
}
