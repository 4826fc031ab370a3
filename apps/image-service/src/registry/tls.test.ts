import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { createServer } from 'node:https';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotCertify, makeCertificate } from '../testing/test-certificate.ts';
import { makeImage } from '../testing/test-image.ts';
import { signal, startImages } from '../testing/test-images.ts';
import { cannotRun, startRegistry } from '../testing/test-registry.ts';

const skip = cannotRun || cannotCertify;
const image = makeImage({ layers: [[{ path: 'f', data: 'x' }]] });

/** A TLS server with a certificate of its own, before a registry. */
async function startTls(t: TestContext, target: string): Promise<{ host: string; caFile: string }> {
  const { keyFile, caFile } = makeCertificate(t);
  const options = { key: readFileSync(keyFile), cert: readFileSync(caFile) };
  const server = createServer(options, (incoming, response) => {
    const onward = requestHttp(`http://${target}${incoming.url}`, {
      headers: { ...incoming.headers, host: target },
    });
    onward.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    onward.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return { host: `127.0.0.1:${address.port}`, caFile };
}

test('an unknown authority is refused, a configured one or skip_verify is not', {
  skip,
}, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const { host, caFile } = await startTls(t, registry.host);
  const { images, configureHost } = await startImages(t);
  const pull = () => images.puller.pull('registry.example/app:v1', { signal });

  configureHost('registry.example', `server = "https://${host}"`);
  await assert.rejects(pull(), {
    message: new RegExp(
      `^RegistryUnavailable: .*registry host ${host}: self-signed certificate: name its authority by ca in /.*/registry\\.example/hosts\\.toml$`,
    ),
  });
  configureHost('registry.example', `server = "https://${host}"\nca = "${caFile}.missing"`);
  await assert.rejects(pull(), {
    kind: 'failed-precondition',
    message: /read certificate .*missing/,
  });
  configureHost('registry.example', `server = "https://${host}"\nca = "${caFile}"`);
  assert.equal(await pull(), image.id);
  configureHost('registry.example', `server = "https://${host}"\nskip_verify = true`);
  assert.equal(await pull(), image.id);
});

test('the authorities of the host count', { skip }, async (t) => {
  const registry = await startRegistry(t);
  await registry.push(image, 'app', 'v1');
  const { host, caFile } = await startTls(t, registry.host);
  const { configureHost, directory } = await startImages(t);
  configureHost('registry.example', `server = "https://${host}"`);
  const program = fileURLToPath(new URL('../testing/pull-once.ts', import.meta.url));
  const exitCode = async (certFile: string) => {
    const child = spawn(process.execPath, [program, directory, 'registry.example/app:v1'], {
      stdio: 'ignore',
      env: { ...process.env, SSL_CERT_FILE: certFile },
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    return code;
  };
  assert.equal(await exitCode('/dev/null'), 1);
  assert.equal(await exitCode(caFile), 0);
});
