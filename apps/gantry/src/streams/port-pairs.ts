import { RuntimeError } from '@gantry/errors';

export interface PortPair {
  /** 0: any that is free. */
  readonly local: number;
  readonly remote: number;
}

const maxPort = 65_535;

/** `8080:80`, `80` for `80:80`, `:80` for any free port. Throws `invalid-argument`. */
export function parsePortPair(text: string): PortPair {
  const [, local, remote = ''] = /^(?:(\d{0,5}):)?(\d{1,5})$/.exec(text) ?? [];
  const pair = { local: Number(local ?? remote), remote: Number(remote) };
  if (pair.remote < 1 || pair.remote > maxPort || pair.local > maxPort) {
    throw new RuntimeError(
      'invalid-argument',
      `port "${text}": give REMOTE, LOCAL:REMOTE or :REMOTE, each from 1 to ${maxPort}`,
    );
  }
  return pair;
}
