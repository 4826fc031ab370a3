import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { messageOf, RuntimeError } from '@gantry/errors';
import { hasCode } from '@gantry/host';

/** An image of a Docker-compatible engine on this host. */
export interface EngineImage {
  /** As the engine knows it. */
  readonly image: string;
  /** Path of the socket that its API listens on. */
  readonly socket: string;
}

/**
 * Writes what the engine saves of an image to `file`: a docker archive, as of
 * `docker save` (Docker Engine API, ImageGet). Errors tell which engine and
 * what it said.
 */
export async function saveEngineImage(
  { image, socket }: EngineImage,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  // A large library that only this needs.
  const { default: Docker } = await import('dockerode');
  const engine = new Docker({ socketPath: socket });
  try {
    const archive = await engine.getImage(image).get();
    await pipeline(archive, createWriteStream(file, { mode: 0o600 }), { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw engineError(error, { image, socket });
  }
}

function engineError(error: unknown, { image, socket }: EngineImage): RuntimeError {
  const at = `engine at ${socket}`;
  if (hasCode(error, 'ENOENT', 'ECONNREFUSED')) {
    const message = `${at}: nothing listens there: does the engine run, and is this its socket?`;
    return new RuntimeError('unavailable', message);
  }
  if (hasCode(error, 'ENOSPC')) {
    return new RuntimeError('resource-exhausted', `${at}: no space left for its archive`);
  }
  const { statusCode } = error as { statusCode?: number };
  return statusCode === 404
    ? new RuntimeError('not-found', `${at} has no image ${image}`)
    : new RuntimeError('unavailable', `${at}: ${messageOf(error)}`);
}
