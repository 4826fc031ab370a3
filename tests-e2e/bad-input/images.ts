import assert from 'node:assert/strict';
import { accepted, type BadRequest, invalid } from './bad-request.ts';

/** Texts that are no reference of an image. */
const nonsense: Readonly<Record<string, string>> = {
  'a path': '../../../../etc/passwd',
  'an absolute path': '/etc/passwd',
  'capital letters': 'registry.example/UPPER/case:1',
  'a NUL': 'registry.example/a\0b',
  'a line break': 'registry.example/a\nHost: x',
  'a URL': 'http://registry.example/a',
  'a bad digest': 'registry.example/a@sha256:abc',
  'a tag that is too long': `registry.example/a:${'t'.repeat(129)}`,
  'a megabyte': 'a'.repeat(1 << 20),
};

/** Nobody listens there. */
const image = { image: 'localhost:1/a:1' };
const unreachable = { kind: 'unknown', message: /RegistryUnavailable: .*localhost:1/ } as const;

export const imageRequests: readonly BadRequest[] = [
  ...(['pullImage', 'imageStatus', 'removeImage'] as const).flatMap((rpc): BadRequest[] => [
    {
      rpc,
      what: 'no image',
      call: ({ stack }) => stack.images[rpc]({}),
      expected: invalid(/image/),
    },
    {
      rpc,
      what: 'an empty reference',
      call: ({ stack }) => stack.images[rpc]({ image: { image: '' } }),
      expected: invalid(/image/),
    },
  ]),
  ...Object.entries(nonsense).flatMap(([what, image]): BadRequest[] => [
    {
      rpc: 'pullImage',
      what,
      call: ({ stack }) => stack.images.pullImage({ image: { image } }),
      expected: invalid(/reference|image/),
    },
    {
      rpc: 'imageStatus',
      what,
      call: ({ stack }) => stack.images.imageStatus({ image: { image } }),
      expected: (answer) => assert.equal((answer as { readonly image?: unknown }).image, undefined),
    },
    {
      rpc: 'removeImage',
      what,
      call: ({ stack }) => stack.images.removeImage({ image: { image } }),
      expected: accepted,
    },
  ]),
  {
    rpc: 'pullImage',
    what: 'credentials that are not base64 of a pair',
    call: ({ stack }) =>
      stack.images.pullImage({
        image: { image: 'registry.example/a:1' },
        auth: { auth: 'not base64 at all!' },
      }),
    expected: invalid(/auth/),
  },
  {
    rpc: 'pullImage',
    what: 'credentials of a megabyte',
    call: ({ stack }) => stack.images.pullImage({ image, auth: { auth: 'a'.repeat(1 << 20) } }),
    expected: invalid(/auth/),
  },
  {
    rpc: 'pullImage',
    what: 'credentials for a server that is none',
    call: ({ stack }) =>
      stack.images.pullImage({ image, auth: { username: 'a', serverAddress: '::::' } }),
    expected: invalid(/auth: the server address/),
  },
  // A header of two lines would be another header; this one is not sent.
  ...['username', 'identityToken', 'registryToken'].map(
    (field): BadRequest => ({
      rpc: 'pullImage',
      what: `a line break in ${field}`,
      call: ({ stack }) =>
        stack.images.pullImage({ image, auth: { [field]: 'a\r\nHost: elsewhere' } }),
      expected: unreachable,
    }),
  ),
  {
    rpc: 'pullImage',
    what: 'a pod and annotations of megabytes',
    call: ({ stack }) => {
      const large = 'm'.repeat(1 << 20);
      return stack.images.pullImage({
        image: { ...image, annotations: { large } },
        sandboxConfig: { metadata: { name: large }, annotations: { large } },
      });
    },
    expected: unreachable,
  },
];
