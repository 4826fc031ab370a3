import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReference, parseReference } from './reference.ts';

const hex = 'a'.repeat(64);
const good: [text: string, full: string][] = [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['org/app', 'docker.io/org/app:latest'],
  ['index.docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['localhost/x', 'localhost/x:latest'],
  ['localhost:5000/x/y:z', 'localhost:5000/x/y:z'],
  ['[::1]:5000/x', '[::1]:5000/x:latest'],
  ['registry.k8s.io/pause:3.9', 'registry.k8s.io/pause:3.9'],
  ['UPPER/x', 'UPPER/x:latest'],
  [`q.io/x@sha256:${hex}`, `q.io/x@sha256:${hex}`],
  [`q.io/x:v1@sha256:${hex}`, `q.io/x:v1@sha256:${hex}`],
  ['a__b/c-d--e', 'docker.io/a__b/c-d--e:latest'],
];

test('names are normalised as docker does', () => {
  for (const [text, full] of good) {
    assert.equal(formatReference(parseReference(text)), full);
  }
});

test('the full form of a name parses to itself', () => {
  for (const [, full] of good) {
    assert.equal(formatReference(parseReference(full)), full);
  }
});

const bad: [text: string, why: RegExp][] = [
  ['', /empty/],
  [hex, /an image id/],
  [`sha256:${hex}`, /an image id/],
  ['Busybox', /lower case/],
  ['a//b', /malformed repository/],
  ['/a', /malformed repository/],
  ['a:', /malformed tag/],
  [`a:${'t'.repeat(129)}`, /malformed tag/],
  ['a@sha256:12', /digest "sha256:12"/],
  ['../../etc/passwd', /malformed/],
  ['a_/b', /malformed repository/],
  ['ho st.io/x', /malformed registry host/],
  ['x.io:999999/x', /malformed registry host/],
  [`x.io/${'a'.repeat(255)}`, /longer than 255/],
  ['a\nb', /malformed repository/],
  [`${'a/'.repeat(400)}a`, /longer than 600/],
];

for (const [text, why] of bad) {
  test(`${JSON.stringify(text.slice(0, 30))} is refused: ${why.source}`, () => {
    assert.throws(
      () => parseReference(text),
      (error: Error & { kind?: string; cause?: Error }) => {
        assert.equal(error.kind, 'invalid-argument');
        assert.match(`${error.message}: ${error.cause?.message ?? ''}`, why);
        return true;
      },
    );
  });
}
