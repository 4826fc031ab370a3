import { createHash } from 'node:crypto';
import { isKind, messageOf, RuntimeError } from '@gantry/errors';
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
import { withSpan } from '@gantry/telemetry';
import { otherDigest, tooShort, WrongBlobError } from '../layers/wrong-blob.ts';
import type {
  BlobOptions,
  Credentials,
  ImageSource,
  LayerOptions,
  ResolvedManifest,
} from '../ports.ts';
import { blobStream } from './blob-stream.ts';
import { EndpointClient } from './endpoint-client.ts';
import { type EndpointFailure, EndpointQueue, hostOf } from './endpoint-queue.ts';
import { findEndpoints } from './find-endpoints.ts';
import { type HttpOptions, readBody } from './http.ts';
import type { KnownAnswers } from './known-answers.ts';
import { RegistryError } from './registry-error.ts';

export interface RegistryOptions {
  /** Directory of `<host>/hosts.toml`; empty means none. */
  readonly configPath: string;
  readonly progressTimeoutMs: number;
  /** First pause between tries, doubled each time. */
  readonly backoffMs: number;
  /** What has met the challenges of registries lately. */
  readonly known: KnownAnswers;
  /** As EndpointOptions has it. */
  readonly plainHosts: Set<string>;
  /** A document that is in the content store already, so that it need not be fetched. */
  readonly cached?: (digest: Digest) => Promise<Buffer | undefined>;
  /** Told of hosts that were of no use where others are asked instead: so that somebody knows. */
  readonly onPassedOver?: (host: string, why: string) => void;
}

interface Document {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly type: string;
}

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
  /** Gave no answer: asked again only when the others have failed, for each may take its time to fail. */
  readonly #silent = new Set<EndpointClient>();
  readonly #refused = new Set<string>();
  /** Whose bytes the last reading of a blob has. */
  readonly #givers = new Map<Digest, EndpointClient[]>();
  /** Who has given wrong ones. */
  readonly #wrong = new Map<Digest, EndpointFailure[]>();

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
    for (;;) {
      try {
        return await this.#readWhole(blob, options);
      } catch (error) {
        if (!(error instanceof WrongBlobError)) {
          throw error;
        }
        await this.blame(blob, error);
      }
    }
  }

  async *openBlob(
    blob: Descriptor,
    { signal, offset: begin = 0 }: BlobOptions,
  ): AsyncGenerator<Uint8Array> {
    const { digest } = blob;
    const http = this.#http(signal);
    const what = `fetch blob ${digest}`;
    const queue = await this.#queue('pull', what, digest);
    const givers: EndpointClient[] = [];
    this.#givers.set(digest, givers);
    yield* blobStream(blob, {
      signal,
      begin,
      backoffMs: this.#options.backoffMs,
      progressTimeoutMs: this.#options.progressTimeoutMs,
      open: (offset) =>
        queue.ask(async (client) => {
          const range: Record<string, string> = offset === 0 ? {} : { range: `bytes=${offset}-` };
          const answer = await client.get(`blobs/${digest}`, what, range, http);
          if (givers.at(-1) !== client) {
            givers.push(client);
          }
          return answer;
        }),
      giveUp: (error) => queue.giveUp(error),
    });
  }

  async blame({ digest }: Descriptor, error: Error): Promise<void> {
    const givers = this.#givers.get(digest) ?? [];
    // Where several gave a part each, the last is asked for all of it before it counts as wrong.
    const blamed = givers.length > 1 ? givers.slice(0, -1) : givers;
    if (blamed.length === 0) {
      throw error;
    }
    this.#givers.delete(digest);
    const failures = blamed.map((client) => ({ client, error }));
    this.#wrong.set(digest, [...this.#failuresOf(digest), ...failures]);
    const queue = await this.#queue('pull', `fetch blob ${digest}`, digest);
    if (queue.isEmpty) {
      throw queue.failure();
    }
    await Promise.all(blamed.map((client) => this.#tell(hostOf(client), error)));
  }

  async hasOthers({ digest }: Descriptor): Promise<boolean> {
    return (await this.#askable('pull', this.#failuresOf(digest))).length > 1;
  }

  async #readWhole(blob: Descriptor, options: LayerOptions): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.openBlob(blob, options)) {
      chunks.push(Buffer.from(chunk));
    }
    const bytes = Buffer.concat(chunks);
    const actual = digestOfBytes(bytes, blob.digest);
    if (bytes.length !== blob.size) {
      throw tooShort(blob, bytes.length);
    }
    if (actual !== blob.digest) {
      throw otherDigest(blob, actual);
    }
    return bytes;
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
    const queue = await this.#queue(capability, what);
    return queue.ask(async (client) => {
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

  /** Whom to ask for something, a blob for one. */
  async #queue(
    capability: 'pull' | 'resolve',
    what: string,
    digest?: Digest,
  ): Promise<EndpointQueue> {
    const failures = this.#failuresOf(digest);
    const clients = await this.#askable(capability, failures);
    const isSilent = (client: EndpointClient): boolean => this.#silent.has(client);
    const inTurn = [...clients.filter((client) => !isSilent(client)), ...clients.filter(isSilent)];
    const wanted = { what, image: this.description, registry: this.#reference.host };
    return new EndpointQueue(wanted, inTurn, failures, (failure, next) => {
      this.#note(failure, next !== undefined);
    });
  }

  #failuresOf(digest: Digest | undefined): readonly EndpointFailure[] {
    return digest === undefined ? [] : (this.#wrong.get(digest) ?? []);
  }

  async #askable(
    capability: 'pull' | 'resolve',
    failures: readonly EndpointFailure[],
  ): Promise<EndpointClient[]> {
    const wrong = new Set(failures.map(({ client }) => client));
    return (await this.#endpoints()).filter(
      (client) =>
        client.endpoint.capabilities.has(capability) &&
        !this.#liars.has(client) &&
        !wrong.has(client),
    );
  }

  #note({ client, error }: EndpointFailure, isPassedOver: boolean): void {
    const status = error instanceof RegistryError ? error.status : undefined;
    if (isKind(error, 'failed-precondition') || isKind(error, 'invalid-argument')) {
      this.#liars.add(client);
    } else if (status === undefined || status === 0) {
      this.#silent.add(client);
    }
    const host = hostOf(client);
    const refusal = `${host} ${status ?? ''}`;
    // That a mirror has not got something is as it should be; what it refuses it refuses each time.
    if (isPassedOver && status !== 404 && !this.#refused.has(refusal)) {
      this.#refused.add(refusal);
      void this.#tell(host, error);
    }
  }

  /** Tells the log and the trace. */
  async #tell(host: string, error: unknown): Promise<void> {
    this.#options.onPassedOver?.(host, messageOf(error));
    const attributes = { 'server.address': host, 'image.name': this.description };
    const told = new Error(host, { cause: error });
    await withSpan('registry.pass_over', attributes, () => Promise.reject(told)).catch(
      () => undefined,
    );
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
          plainHosts: this.#options.plainHosts,
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
