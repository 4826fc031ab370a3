import { readFileSync } from 'node:fs';
import { RuntimeError } from '@gantry/errors';
import type { DialOptions } from '@gantry/remotecommand';
import { type Invocation, option } from '../invocation.ts';

/** How to reach a stream URL: SPDY unless --transport says otherwise; a certificate of our own is trusted. */
export function transportOf(invocation: Invocation): DialOptions {
  const name = option(invocation, 'transport') ?? 'spdy';
  if (name !== 'spdy' && name !== 'websocket') {
    throw new RuntimeError('invalid-argument', `--transport ${name}: must be spdy or websocket`);
  }
  const { tls_cert_file: file } = invocation.config().streaming;
  return {
    transport: name,
    signal: invocation.signal,
    ...(file === '' ? {} : { ca: readFileSync(file) }),
  };
}
