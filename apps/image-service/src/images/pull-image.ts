import { createHash } from 'node:crypto';
import { type ErrorKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import {
  type Digest,
  formatReference,
  parseReference,
  type Reference,
  repositoryName,
} from '@gantry/oci';
import { type Histogram, type Logger, withSpan } from '@gantry/telemetry';
import { kindOfFault } from '../layers/tree-writer.ts';
import type { Credentials, ImageSource } from '../ports.ts';
import { isRegistryUnavailable } from '../registry/registry-error.ts';
import { collectGarbage } from './collect-garbage.ts';
import type { ImageStore } from './image-store.ts';
import { describeImage, type ImageInstaller } from './install-image.ts';
import type { PullBoard } from './pull-board.ts';
import { SharedWork } from './shared-work.ts';

interface Deps {
  readonly store: ImageStore;
  readonly installer: ImageInstaller;
  /** A source for one pull, which tells of hosts that it passes over. */
  readonly open: (
    reference: Reference,
    credentials: Credentials | undefined,
    onPassedOver: (host: string, why: string) => void,
  ) => ImageSource;
  /** What the node knows for a registry, for pulls that bring nothing. */
  readonly nodeCredentials: (host: string) => Promise<Credentials | undefined>;
  /** Where the pull shows while it runs. */
  readonly board: Pick<PullBoard, 'announce'>;
  readonly duration: Pick<Histogram, 'observe'>;
  readonly log: Pick<Logger, 'warn'>;
}

export interface PullOptions {
  readonly credentials?: Credentials | undefined;
  readonly signal: AbortSignal;
}

/** Pulls images from registries; pulls of one name with the same credentials are one. */
export class ImagePuller {
  readonly #deps: Deps;
  readonly #pulling = new SharedWork<Digest>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /**
   * Resolves with the image's id once it is whole and on disk. On abort it
   * stops downloading and extracting, and rejects with the signal's reason.
   * Errors begin with `pull image <name>`, or with RegistryUnavailable where
   * a kubelet has a word of its own for that.
   */
  async pull(name: string, { credentials, signal }: PullOptions): Promise<Digest> {
    const reference = parseReference(name);
    const full = formatReference(reference);
    const who = createHash('sha256')
      .update(JSON.stringify(credentials ?? null))
      .digest('hex');
    try {
      return await this.#pulling.run(`${full} ${who}`, signal, (own) =>
        withSpan('image.pull', { 'image.name': full }, () =>
          this.#pull(reference, full, credentials, own),
        ),
      );
    } catch (error) {
      signal.throwIfAborted();
      throw pullError(full, error);
    }
  }

  async #pull(
    reference: Reference,
    full: string,
    credentials: Credentials | undefined,
    signal: AbortSignal,
  ): Promise<Digest> {
    const { store, installer, open, nodeCredentials, board, duration, log } = this.#deps;
    const startedAt = performance.now();
    using announcement = board.announce(full);
    await using _lock = await store.locks.take('name', full, signal);
    const known = credentials ?? (await nodeCredentials(reference.host));
    const source = open(reference, known, (host, why) => {
      log.warn({ image: full, host, error: why }, 'a registry host was passed over');
      announcement.passOver(host, why);
    });
    try {
      const { image, targetDigest } = await withSpan('image.resolve', {}, async () => {
        const resolved = await source.resolve({ signal });
        const described = await describeImage(
          source,
          resolved.manifest,
          resolved.documents,
          signal,
        );
        return { image: described, targetDigest: resolved.targetDigest };
      });
      announcement.setLayers(image.layers.map(({ spec }) => spec));
      await installer.fetchLayers(image, signal);
      const digests = [`${repositoryName(reference)}@${targetDigest}`];
      // A name with a digest says nothing lasting about its tag.
      const tags = reference.digest === undefined ? [full] : [];
      await installer.commit(image, { tags, digests }, signal);
      duration.observe((performance.now() - startedAt) / 1000);
      return image.id;
    } catch (error) {
      if (kindOfFault(error) === 'resource-exhausted' && !signal.aborted) {
        // The disk may be full of layers that this pull had finished: they are of no use alone.
        await collectGarbage(store, 0).catch(() => undefined);
      }
      throw error;
    }
  }
}

function pullError(name: string, error: unknown): RuntimeError {
  const message = `pull image ${name}: ${messageOf(error)}`;
  if (isRegistryUnavailable(error)) {
    // cri-api pkg/errors: a kubelet tells this from other failures by its beginning.
    return new RuntimeError('unknown', `RegistryUnavailable: ${message}`);
  }
  return new RuntimeError(kindOfPullError(error), message);
}

/** What is wrong with the image is not the request's fault. */
function kindOfPullError(error: unknown): ErrorKind {
  const fault = kindOfFault(error);
  const kind = fault === 'internal' ? kindOf(error) : fault;
  return kind === 'invalid-argument' ? 'failed-precondition' : kind;
}
