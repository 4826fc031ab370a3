import { isAbsolute } from 'node:path';
import { type ErrorKind, messageOf, quote, RuntimeError } from '@gantry/errors';
import { type Digest, formatReference, parseReference, repositoryName } from '@gantry/oci';
import type { ImageInstaller, ImageNames } from '../images/install-image.ts';
import { kindOfFault } from '../layers/tree-writer.ts';
import type { TemporarySpace } from '../store/temporary-space.ts';
import { type Archive, openArchive } from './archive.ts';
import { readDockerArchive } from './docker-archive.ts';
import { type EngineImage, saveEngineImage } from './engine-image.ts';
import { type FoundImage, readOciLayout } from './oci-layout.ts';

interface Deps {
  readonly installer: ImageInstaller;
  readonly temporary: TemporarySpace;
}

export interface ImportedImage {
  readonly id: Digest;
  /** In full. */
  readonly names: readonly string[];
}

/** Linux: PATH_MAX, less the zero byte. */
const maxPathBytes = 4095;

/** What to import: files of this host, or an image of an engine. */
export type ImportFrom = { readonly path: string } | { readonly engine: EngineImage };

/**
 * Imports all images of an OCI layout (directory or tar) or docker archive, or
 * one of an engine. Everything is read, checked and unpacked before the first
 * of them is visible. `name` replaces the names of the archive; it needs one
 * image. Errors begin with `import <path>`.
 */
export async function importImages(
  { installer, temporary }: Deps,
  from: ImportFrom,
  name: string,
  signal: AbortSignal,
): Promise<ImportedImage[]> {
  try {
    await using saved = temporary.file();
    await using scratch = temporary.file();
    if ('engine' in from) {
      await saveEngineImage(from.engine, saved.path, signal);
    } else if (!isAbsolute(from.path)) {
      throw new RuntimeError('invalid-argument', 'the path must be absolute');
    } else if (Buffer.byteLength(from.path) > maxPathBytes) {
      throw new RuntimeError('invalid-argument', `the path is longer than ${maxPathBytes} bytes`);
    }
    const path = 'engine' in from ? saved.path : from.path;
    const found = await readImages(await openArchive(path, scratch), signal);
    const named = found.map((one) => ({ ...one, names: namesFor(one, name, found.length) }));
    for (const { image } of named) {
      await installer.fetchLayers(image, signal);
    }
    for (const { image, names } of named) {
      await installer.commit(image, names, signal);
    }
    return named.map(({ image, names }) => ({ id: image.id, names: names.tags }));
  } catch (error) {
    signal.throwIfAborted();
    const what = 'engine' in from ? from.engine.image : from.path;
    throw new RuntimeError(
      kindOfImportError(error),
      `import ${shownPath(what)}: ${messageOf(error)}`,
    );
  }
}

/** As it is where it can be one. */
function shownPath(text: string): string {
  return Buffer.byteLength(text) > maxPathBytes ? quote(text) : text;
}

async function readImages(archive: Archive, signal: AbortSignal): Promise<FoundImage[]> {
  // Newer docker writes both; the layout says more.
  if ((await archive.read('oci-layout')) !== undefined) {
    return readOciLayout(archive, signal);
  }
  const manifest = await archive.read('manifest.json');
  if (manifest === undefined) {
    throw new RuntimeError('invalid-argument', 'neither an OCI layout nor a docker archive');
  }
  return readDockerArchive(archive, manifest);
}

function namesFor(found: FoundImage, name: string, count: number): ImageNames {
  if (name !== '' && count > 1) {
    throw new RuntimeError('invalid-argument', `${count} images in it: one name is not enough`);
  }
  const texts = name === '' ? found.names : [name];
  if (texts.length === 0) {
    throw new RuntimeError('invalid-argument', 'the archive has no name for the image: give one');
  }
  const references = texts.map((text) => {
    // skopeo and others put a mere tag where a name belongs.
    if (name === '' && !/[/:]/.test(text)) {
      const message = `the archive names the image only "${text}": give a full name`;
      throw new RuntimeError('invalid-argument', message);
    }
    return parseReference(text);
  });
  const target = found.targetDigest;
  return {
    tags: references.filter(({ digest }) => digest === undefined).map(formatReference),
    digests: target === undefined ? [] : references.map((r) => `${repositoryName(r)}@${target}`),
  };
}

function kindOfImportError(error: unknown): ErrorKind {
  const kind = kindOfFault(error);
  // What does not fit its digest is the archive's fault, and so the caller's.
  return kind === 'failed-precondition' ? 'invalid-argument' : kind;
}
