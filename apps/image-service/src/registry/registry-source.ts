import { createHash } from 'node:crypto';
import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import {
  acceptedManifests,
  algorithmOf,
  choosePlatform,
  type Descriptor,
  type Digest,
  digestOf,
  formatPlatform,
  formatReference,
  hostPlatforms,
  isDigest,
  maxDocumentBytes,
  parseImageDocument,
  type Reference,
} from '@gantry/oci';
import type {
  BlobOptions,
  Credentials,
  ImageSource,
  LayerOptions,
  ResolvedManifest,
} from '../ports.ts';
import { blobStream } from './blob-stream.ts';
import { EndpointClient } from './endpoint-client.ts';
import { findEndpoints } from './find-endpoints.ts';
import { type HttpAnswer, type HttpOptions, readBody } from './http.ts';
import type { KnownAnswers } from './known-answers.ts';
import { RegistryError, registryUnavailable } from './registry-error.ts';

export interface RegistryOptions {
  /** Directory of `<host>/hosts.toml`; empty means none. */
  readonly configPath: string;
  readonly progressTimeoutMs: number;
  /** First pause between tries, doubled each time. */
  readonly backoffMs: number;
  /** What has met the challenges of registries lately. */
  readonly known: KnownAnswers;
  /** A document that is in the content store already, so that it need not be fetched. */
  readonly cached?: (digest: Digest) => Promise<Buffer | undefined>;
}

interface Document {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly type: string;
}

type Ask<T> = (client: EndpointClient, index: number) => Promise<T>;

const accept = [...acceptedManifests, '*/*'].join(', ');
/** An index in an index is odd but allowed; a loop is not. */
const maxIndexDepth = 3;

/** One image of a registry, as one pull sees it: its endpoints are looked up once. */
export class RegistrySource implements ImageSource {
  readonly description: string;
  readonly canResume = true;
  readonly #reference: Reference;
  readonly #credentials: Credentials | undefined;
  readonly #options: RegistryOptions;
  #clients: Promise<EndpointClient[]> | undefined;
  /** Sent what was no manifest, or another: a login page, a broken cache. Nothing more is asked of them. */
  readonly #liars = new Set<EndpointClient>();

  constructor(
    reference: Reference,
    credentials: Credentials | undefined,
    options: RegistryOptions,
  ) {
    this.description = formatReference(reference);
    this.#reference = reference;
    this.#credentials = credentials;
    this.#options = options;
  }

  async resolve(options: LayerOptions): Promise<ResolvedManifest> {
    const { tag = 'latest', digest } = this.#reference;
    const first = await this.#fetchDocument(digest ?? tag, digest, '', options);
    const documents: Document[] = [first];
    for (let document = first, depth = 0; ; depth++) {
      const what = `manifest ${document.digest} of ${this.description}`;
      const parsed = parseImageDocument(document.bytes, what, document.type);
      if (parsed.kind === 'manifest') {
        return { manifest: parsed.manifest, documents, targetDigest: first.digest };
      }
      const platforms = hostPlatforms();
      const chosen = choosePlatform(parsed.index.manifests, platforms);
      if (chosen === undefined) {
        const wanted = platforms[0] === undefined ? '' : formatPlatform(platforms[0]);
        throw new RuntimeError('not-found', `${what}: no image for platform ${wanted}`);
      }
      if (depth === maxIndexDepth) {
        throw new RuntimeError('failed-precondition', `${what}: indexes nested too deeply`);
      }
      document = await this.#fetchDocument(chosen.digest, chosen.digest, chosen.mediaType, options);
      documents.push(document);
    }
  }

  async readBlob(blob: Descriptor, options: LayerOptions): Promise<Buffer> {
    const cached = await this.#options.cached?.(blob.digest);
    if (cached !== undefined) {
      return cached;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of this.openBlob(blob, options)) {
      chunks.push(Buffer.from(chunk));
    }
    return Buffer.concat(chunks);
  }

  async *openBlob(
    blob: Descriptor,
    { signal, offset: begin = 0 }: BlobOptions,
  ): AsyncGenerator<Uint8Array> {
    const http = this.#http(signal);
    const what = `fetch blob ${blob.digest}`;
    const count = (await this.#endpoints()).length;
    // An endpoint that has been given up is not asked again.
    let skip = 0;
    yield* blobStream(blob, {
      signal,
      begin,
      backoffMs: this.#options.backoffMs,
      progressTimeoutMs: this.#options.progressTimeoutMs,
      open: async (offset) => {
        const range: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
        const ask: Ask<HttpAnswer> = async (client, index) => {
          const answer = await client.get(`blobs/${blob.digest}`, what, range, http);
          skip = index;
          return answer;
        };
        return this.#ask('pull', what, ask, skip);
      },
      tryNext: () => {
        skip += 1;
        return skip < count;
      },
    });
  }

  async #fetchDocument(
    tagOrDigest: string,
    digest: Digest | undefined,
    type: string,
    { signal }: LayerOptions,
  ): Promise<Document> {
    const cached = digest === undefined ? undefined : await this.#options.cached?.(digest);
    if (digest !== undefined && cached !== undefined) {
      return { digest, bytes: cached, type };
    }
    const http = this.#http(signal);
    const capability = digest === undefined ? 'resolve' : 'pull';
    const what = `fetch manifest ${tagOrDigest}`;
    return this.#ask(capability, what, async (client) => {
      const answer = await client.get(`manifests/${tagOrDigest}`, what, { accept }, http);
      const bytes = await readBody(answer, maxDocumentBytes);
      const named = String(answer.headers['docker-content-digest'] ?? '');
      const expected = digest ?? (isDigest(named) ? named : undefined);
      const actual = digestOfBytes(bytes, expected);
      if (expected !== undefined && expected !== actual) {
        throw new RuntimeError(
          'failed-precondition',
          `registry host ${answer.url.host} sent content of digest ${actual}`,
        );
      }
      const told = mediaTypeOf(answer.headers['content-type'], type);
      // What is no manifest at all must not keep the next host from being asked.
      parseImageDocument(bytes, `registry host ${answer.url.host}: manifest ${actual}`, told);
      return { digest: actual, bytes, type: told };
    });
  }

  /** Asks the endpoints in order until one answers; rejects with what the last said, or `not-found` where none has it. */
  async #ask<T>(capability: 'pull' | 'resolve', what: string, ask: Ask<T>, skip = 0): Promise<T> {
    const failures: { client: EndpointClient; error: unknown }[] = [];
    for (const [index, client] of (await this.#endpoints()).entries()) {
      const mayBeAsked = client.endpoint.capabilities.has(capability) && !this.#liars.has(client);
      if (index < skip || !mayBeAsked) {
        continue;
      }
      try {
        return await ask(client, index);
      } catch (error) {
        if (isKind(error, 'canceled') || isAbort(error)) {
          throw error;
        }
        failures.push({ client, error });
        if (isKind(error, 'failed-precondition') || isKind(error, 'invalid-argument')) {
          this.#liars.add(client);
        }
      }
    }
    throw this.#failure(what, failures);
  }

  #failure(what: string, failures: readonly { client: EndpointClient; error: unknown }[]): Error {
    const { host } = this.#reference;
    const last = failures.at(-1);
    if (last === undefined) {
      const message = `no endpoint of registry host ${host} may be asked: see its hosts.toml`;
      return new RuntimeError('failed-precondition', message);
    }
    const others = failures
      .slice(0, -1)
      .map((f) => `${f.client.endpoint.base.host}: ${messageOf(f.error)}`);
    const before = others.length === 0 ? '' : ` (before that, ${others.join('; ')})`;
    const { error } = last;
    if (error instanceof RegistryError && error.status === 404) {
      const name = this.description;
      const message = `manifest for ${name} not found at registry host ${last.client.endpoint.base.host}`;
      const told = error.message.includes('blob') ? error.message : message;
      return new RuntimeError('not-found', `${told}${before}`);
    }
    if (error instanceof RegistryError) {
      return new RegistryError(error.kind, error.status, `${messageOf(error)}${before}`);
    }
    if (kindOf(error) !== 'internal') {
      return new RuntimeError(kindOf(error), `${what}: ${messageOf(error)}${before}`);
    }
    // No answer at all: what the network or TLS says, and whom it is about.
    const message = `${what}: registry host ${last.client.endpoint.base.host}: ${messageOf(error)}${before}`;
    return registryUnavailable(message);
  }

  #endpoints(): Promise<EndpointClient[]> {
    this.#clients ??= this.#makeClients();
    return this.#clients;
  }

  async #makeClients(): Promise<EndpointClient[]> {
    const { host, repository } = this.#reference;
    const endpoints = await findEndpoints(this.#options.configPath, host);
    return endpoints.map(
      (endpoint) =>
        new EndpointClient(endpoint, {
          repository,
          registry: host,
          credentials: this.#credentials,
          backoffMs: this.#options.backoffMs,
          known: this.#options.known,
        }),
    );
  }

  #http(signal: AbortSignal): HttpOptions {
    return { signal, idleTimeoutMs: this.#options.progressTimeoutMs };
  }
}

function digestOfBytes(bytes: Buffer, like: Digest | undefined): Digest {
  const algorithm = like === undefined ? 'sha256' : algorithmOf(like);
  return digestOf(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}

function mediaTypeOf(header: string | undefined, fallback: string): string {
  return header?.split(';')[0]?.trim().toLowerCase() ?? fallback;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}
