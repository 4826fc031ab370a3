import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { findTool } from '@gantry/host';
import { temporaryDirectory } from './test-images.ts';

export interface TestCertificate {
  readonly keyFile: string;
  /** Its own authority. */
  readonly caFile: string;
}

/** What keeps tests with certificates from running here; false when nothing does. */
export const cannotCertify: string | false =
  findTool('openssl') === undefined && 'needs the Debian package openssl';

/** A key with a certificate that it has signed itself, good for 127.0.0.1. */
export function makeCertificate(t: TestContext): TestCertificate {
  const directory = temporaryDirectory(t);
  const [keyFile, caFile] = [join(directory, 'key.pem'), join(directory, 'ca.pem')];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'],
      ...['-keyout', keyFile, '-out', caFile],
    ],
    { stdio: 'ignore' },
  );
  return { keyFile, caFile };
}
