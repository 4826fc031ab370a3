import {
  array,
  type InferOutput,
  literal,
  maxLength,
  nullish,
  object,
  optional,
  pipe,
  record,
  string,
  unknown,
} from 'valibot';
import type { Digest } from './digest.ts';
import { digestSchema, parseDocument, stringMap } from './document.ts';
import { maxLayers } from './manifest.ts';
import type { Platform } from './platform.ts';

const strings = pipe(array(string()), maxLength(100_000));
const keys = record(string(), unknown());

const schema = object({
  created: nullish(string()),
  os: string(),
  architecture: string(),
  variant: optional(string()),
  // Docker writes null for what is not set.
  config: nullish(
    object({
      User: nullish(string()),
      Env: nullish(strings),
      Entrypoint: nullish(strings),
      Cmd: nullish(strings),
      WorkingDir: nullish(string()),
      Volumes: nullish(keys),
      ExposedPorts: nullish(keys),
      StopSignal: nullish(string()),
      Labels: nullish(stringMap),
    }),
  ),
  rootfs: object({
    type: literal('layers'),
    diff_ids: pipe(array(digestSchema), maxLength(maxLayers)),
  }),
});

type Source = InferOutput<typeof schema>;

/** An image's config (OCI image spec, config.md): what is not set is empty, never null. */
export interface ImageConfig {
  readonly platform: Platform;
  /** RFC 3339, as the builder wrote it; empty when not given. */
  readonly created: string;
  /** `user`, `uid`, `user:group` or `uid:gid`; empty means root. */
  readonly user: string;
  /** `NAME=value`, in order. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  /** Paths, in order of the file. */
  readonly volumes: readonly string[];
  /** `80/tcp`. */
  readonly exposedPorts: readonly string[];
  /** A name such as SIGTERM, or a number; empty when not given. */
  readonly stopSignal: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Digests of the uncompressed layers, lowest first. */
  readonly diffIds: readonly Digest[];
}

/** Parses a config blob. Throws `invalid-argument` that begins with `what`. */
export function parseImageConfig(bytes: Uint8Array, what = 'image config'): ImageConfig {
  const source = parseDocument(schema, bytes, what);
  return {
    platform: { os: source.os, architecture: source.architecture, variant: source.variant },
    created: source.created ?? '',
    diffIds: source.rootfs.diff_ids,
    ...processOf(source),
    ...surroundingsOf(source),
  };
}

function processOf({ config }: Source) {
  return {
    user: config?.User ?? '',
    env: config?.Env ?? [],
    entrypoint: config?.Entrypoint ?? [],
    cmd: config?.Cmd ?? [],
    workingDir: config?.WorkingDir ?? '',
  };
}

function surroundingsOf({ config }: Source) {
  return {
    volumes: Object.keys(config?.Volumes ?? {}),
    exposedPorts: Object.keys(config?.ExposedPorts ?? {}),
    stopSignal: config?.StopSignal ?? '',
    labels: config?.Labels ?? {},
  };
}
