import { isKind, kindOf, messageOf, RuntimeError } from '@gantry/errors';
import { WrongBlobError } from '../layers/wrong-blob.ts';
import type { EndpointClient } from './endpoint-client.ts';
import { RegistryError, registryUnavailable } from './registry-error.ts';

/** What an endpoint was of no use for. */
export interface EndpointFailure {
  readonly client: EndpointClient;
  readonly error: unknown;
}

/** What is asked for, for the words of an error. */
export interface Wanted {
  /** `fetch blob sha256:...`. */
  readonly what: string;
  /** The image in full. */
  readonly image: string;
  /** The host of its name. */
  readonly registry: string;
}

/** The endpoints that may be asked for one thing, in order. One that has failed is not asked again. */
export class EndpointQueue {
  readonly #wanted: Wanted;
  readonly #waiting: EndpointClient[];
  readonly #failures: EndpointFailure[];
  readonly #onFailure: (failure: EndpointFailure, next: EndpointClient | undefined) => void;

  /** `failures` is what came of others before. */
  constructor(
    wanted: Wanted,
    clients: readonly EndpointClient[],
    failures: readonly EndpointFailure[],
    onFailure: (failure: EndpointFailure, next: EndpointClient | undefined) => void,
  ) {
    this.#wanted = wanted;
    this.#waiting = [...clients];
    this.#failures = [...failures];
    this.#onFailure = onFailure;
  }

  /** Asks one after the other until one answers; rejects with what the last said and what the others did, or when the caller gives up. */
  async ask<T>(ask: (client: EndpointClient) => Promise<T>): Promise<T> {
    for (const client of [...this.#waiting]) {
      try {
        return await ask(client);
      } catch (error) {
        if (isKind(error, 'canceled') || isAbort(error)) {
          throw error;
        }
        this.giveUp(error);
      }
    }
    throw this.failure();
  }

  /** The endpoint that answered last is asked no more. */
  giveUp(error: unknown): void {
    const client = this.#waiting.shift();
    if (client !== undefined) {
      const failure = { client, error };
      this.#failures.push(failure);
      this.#onFailure(failure, this.#waiting[0]);
    }
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** To be thrown when nobody is left: names each endpoint, the last one first. */
  failure(): Error {
    const { what, image, registry } = this.#wanted;
    const last = this.#failures.at(-1);
    if (last === undefined) {
      const message = `no endpoint of registry host ${registry} may be asked: see its hosts.toml`;
      return new RuntimeError('failed-precondition', message);
    }
    const others = this.#failures
      .slice(0, -1)
      .map(({ client, error }) => `${hostOf(client)}: ${messageOf(error)}`);
    const before = others.length === 0 ? '' : ` (before that, ${others.join('; ')})`;
    const { error } = last;
    const host = hostOf(last.client);
    if (error instanceof WrongBlobError) {
      const message = `registry host ${host} sent wrong content: ${error.message}${before}`;
      return new RuntimeError(error.kind, message);
    }
    if (error instanceof RegistryError && error.status === 404) {
      const message = `manifest for ${image} not found at registry host ${host}`;
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
    return registryUnavailable(`${what}: registry host ${host}: ${messageOf(error)}${before}`);
  }
}

export function hostOf(client: EndpointClient): string {
  return client.endpoint.base.host;
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}
