import { RuntimeError } from '@gantry/errors';
import {
  array,
  type InferOutput,
  literal,
  looseObject,
  maxLength,
  nullish,
  number,
  object,
  optional,
  pipe,
  string,
} from 'valibot';
import { digestSchema, parseDocument, parseJson, sizeSchema, stringMap } from './document.ts';
import { mediaTypes } from './media-type.ts';

/** An overlay takes at most 500 lower directories; no image comes near. */
export const maxLayers = 500;
const maxIndexEntries = 4096;

const mediaType = pipe(string(), maxLength(255));
const platform = object({
  os: string(),
  architecture: string(),
  variant: optional(string()),
});
const descriptor = object({
  mediaType: optional(mediaType, ''),
  digest: digestSchema,
  size: sizeSchema,
  platform: optional(platform),
  annotations: nullish(stringMap),
});
const index = object({
  schemaVersion: literal(2),
  mediaType: optional(mediaType),
  manifests: pipe(array(descriptor), maxLength(maxIndexEntries)),
  annotations: nullish(stringMap),
});
const manifest = object({
  schemaVersion: literal(2),
  mediaType: optional(mediaType),
  config: descriptor,
  layers: pipe(array(descriptor), maxLength(maxLayers)),
  annotations: nullish(stringMap),
});

/** Points at a blob and says how large it is (OCI image spec, descriptor.md). */
export type Descriptor = Readonly<InferOutput<typeof descriptor>>;
/** An OCI index or a Docker manifest list. */
export type ImageIndex = Readonly<InferOutput<typeof index>>;
/** An OCI manifest or a Docker schema 2 one. */
export type ImageManifest = Readonly<InferOutput<typeof manifest>>;
export type ImageDocument =
  | { readonly kind: 'index'; readonly index: ImageIndex }
  | { readonly kind: 'manifest'; readonly manifest: ImageManifest };

const indexTypes: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerList];
const manifestTypes: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];

/**
 * Parses what a manifest URL answered. `type` is what the registry or the
 * descriptor called it; unknown types are settled by the document's own fields.
 * Throws `invalid-argument` that begins with `what`. A document that is both an
 * index and a manifest is refused, for two readers would see two images in it.
 */
export function parseImageDocument(bytes: Uint8Array, what: string, type = ''): ImageDocument {
  const head = parseDocument(
    looseObject({ schemaVersion: optional(number()), mediaType: optional(mediaType) }),
    bytes,
    what,
  );
  if (head.schemaVersion === 1) {
    throw bad(what, 'Docker schema 1 is not supported: push the image again with a newer tool');
  }
  const isIndex = 'manifests' in head;
  if (isIndex && ('layers' in head || 'config' in head || 'fsLayers' in head)) {
    throw bad(what, 'both an index and a manifest');
  }
  const wrong = isIndex ? manifestTypes : indexTypes;
  for (const told of [type, head.mediaType ?? '']) {
    if (wrong.includes(told)) {
      throw bad(what, `content does not fit its media type ${told}`);
    }
  }
  return isIndex
    ? { kind: 'index', index: parseDocument(index, bytes, what) }
    : { kind: 'manifest', manifest: parseDocument(manifest, bytes, what) };
}

const dockerArchive = pipe(
  array(
    object({
      Config: pipe(string(), maxLength(4096)),
      RepoTags: nullish(pipe(array(pipe(string(), maxLength(600))), maxLength(1000))),
      Layers: pipe(array(pipe(string(), maxLength(4096))), maxLength(maxLayers)),
    }),
  ),
  maxLength(1000),
);

/** manifest.json of `docker save`. */
export type DockerArchiveManifest = Readonly<InferOutput<typeof dockerArchive>>;

/** Throws `invalid-argument` that begins with `what`. */
export function parseDockerArchiveManifest(bytes: Uint8Array, what: string): DockerArchiveManifest {
  return parseDocument(dockerArchive, bytes, what);
}

/** Throws unless `bytes` is the oci-layout file of a layout that we can read. */
export function checkOciLayout(bytes: Uint8Array, what: string): void {
  const version = (parseJson(bytes, what) as { imageLayoutVersion?: unknown } | null)
    ?.imageLayoutVersion;
  if (typeof version !== 'string' || !version.startsWith('1.')) {
    throw bad(what, 'not an OCI layout of version 1');
  }
}

function bad(what: string, why: string): RuntimeError {
  return new RuntimeError('invalid-argument', `${what}: ${why}`);
}
