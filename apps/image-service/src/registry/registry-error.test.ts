import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messageOf } from '@gantry/errors';
import { signal, startImages } from '../testing/test-images.ts';
import { startProxy } from '../testing/test-proxy.ts';
import { findEndpoints } from './find-endpoints.ts';
import { WrongSchemeError, withAdvice } from './wrong-scheme.ts';

const skip = process.geteuid?.() !== 0 && 'needs root';
const credentials = {
  username: 'ada',
  password: 'opensesame',
  identityToken: '',
  registryToken: '',
};

const json = (value: unknown): string => JSON.stringify(value);
const bodies: [body: string, type: string | undefined, told: string][] = [
  [json({ errors: [{ code: 'DENIED', message: 'no' }, {}] }), undefined, ': denied: no'],
  [json({ message: 'quota' }), 'application/json', ': quota'],
  [
    json({ details: 'incorrect username or password' }),
    undefined,
    ': incorrect username or password',
  ],
  [json({ error: 'invalid_grant', error_description: 'gone' }), undefined, ': gone'],
  [json({ error: { message: 'nested' } }), undefined, ''],
  [json('a string'), undefined, ': a string'],
  [json(null), undefined, ''],
  ['blob store is\n read-only\u001b[2J\r\n', undefined, ': blob store is read-only [2J'],
  ['in plain words', 'text/plain; charset=utf-8', ': in plain words'],
  ['<html><head><title>\n503 Down\n</title></head><body>x', 'text/html', ': 503 Down'],
  ['<!DOCTYPE html><p>Log in', 'text/html', ''],
  ['\u0000\u0001 not for eyes', 'application/octet-stream', ''],
  ['x'.repeat(70_000), undefined, ''],
  ['y'.repeat(60_000), undefined, `: ${'y'.repeat(500)}`],
  ['', undefined, ''],
  // What it was sent.
  ['who is ada:opensesame?', undefined, ''],
  [`Basic ${btoa('ada:opensesame')} is no good`, undefined, ''],
];

test("an error has the registry's own words, of whatever kind, and no secrets", {
  skip,
}, async (t) => {
  let answer: { body: string; type: string | undefined } = { body: '', type: undefined };
  const proxy = await startProxy(t, '127.0.0.1:1', ({ request, response }) => {
    const isKnown = request.headers.authorization !== undefined;
    const headers = isKnown ? {} : { 'www-authenticate': 'Basic realm="lab"' };
    const type = answer.type === undefined ? {} : { 'content-type': answer.type };
    response.writeHead(isKnown ? 400 : 401, { ...headers, ...type }).end(answer.body);
  });
  const { images } = await startImages(t);
  const name = `${proxy.host}/app:v1`;
  for (const [body, type, told] of bodies) {
    answer = { body, type };
    await assert.rejects(images.puller.pull(name, { signal, credentials }), {
      message: `pull image ${name}: fetch manifest v1: registry host ${proxy.host} answered 400${told}`,
    });
  }
});

test('what a token server says is told, unless it is a secret', { skip }, async (t) => {
  let said = 'wrong password';
  const proxy = await startProxy(t, '127.0.0.1:1', ({ request, response, path }) => {
    if (path.startsWith('/token')) {
      response.writeHead(401).end(json({ details: said }));
    } else {
      const challenge = `Bearer realm="http://${request.headers.host}/token"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
  });
  const { images } = await startImages(t);
  const pull = () => images.puller.pull(`${proxy.host}/app:v1`, { signal, credentials });
  const message = (words: string) => ({
    kind: 'unauthenticated',
    message: new RegExp(
      `: token server ${proxy.host} answered 401${words}: check the credentials$`,
    ),
  });
  await assert.rejects(pull(), message(': wrong password'));
  said = 'opensesame is wrong';
  await assert.rejects(pull(), message(''));
});

for (const [directory, host, speaks, advice] of [
  [
    '/c',
    'r.example:5000',
    'http',
    'write server = "http://r.example:5000" in /c/r.example:5000/hosts.toml',
  ],
  ['/c', 'r.example', 'http', 'write server = "http://r.example:443" in /c/r.example/hosts.toml'],
  [
    '',
    'r.example',
    'http',
    'write server = "http://r.example:443" in <images.registry_config_path>/r.example/hosts.toml',
  ],
] as const) {
  test(`of ${host} that speaks ${speaks} the error says to ${advice}`, async () => {
    const [endpoint] = await findEndpoints(directory, host);
    assert.ok(endpoint !== undefined);
    const error = new WrongSchemeError(speaks, new URL(`https://${host}/v2/app/manifests/v1`));
    assert.ok(messageOf(withAdvice(error, endpoint)).endsWith(`was asked by HTTPS: ${advice}`));
    // Whom it redirects to, or names as its token server, no file of ours speaks of.
    const other = new WrongSchemeError(speaks, new URL('https://cdn.example/x'));
    assert.equal(withAdvice(other, endpoint), other);
  });
}
