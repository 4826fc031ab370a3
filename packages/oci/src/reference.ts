import { RuntimeError } from '@gantry/errors';
import { type Digest, parseDigest } from './digest.ts';

/** A name of an image, in full: what docker calls a normalised reference. */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000`; never the API host of Docker Hub. */
  readonly host: string;
  /** `library/busybox`. */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const hostPattern = new RegExp(
  `^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`,
);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const maxNameLength = 255;
const maxReferenceLength = 600;

/**
 * Parses a name as people type it: the host defaults to docker.io, a bare name
 * there to library/, and the tag to `latest` unless a digest is given. Throws
 * `invalid-argument`. Grammar: distribution/reference.
 */
export function parseReference(text: string): Reference {
  if (text === '') {
    throw new RuntimeError('invalid-argument', 'image reference: empty');
  }
  if (text.length > maxReferenceLength) {
    throw bad(text, `longer than ${maxReferenceLength} characters`);
  }
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : parseReferenceDigest(text, text.slice(at + 1));
  const named = at === -1 ? text : text.slice(0, at);
  const [name, tag] = splitTag(named);
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw bad(text, 'malformed tag');
  }
  const { host, repository } = splitHost(text, name);
  if (digest !== undefined) {
    return { host, repository, ...(tag === undefined ? {} : { tag }), digest };
  }
  return { host, repository, tag: tag ?? 'latest' };
}

/** `docker.io/library/busybox:1.36@sha256:...`: the full form, with what is there of tag and digest. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  const tagged = tag === undefined ? '' : `:${tag}`;
  return `${host}/${repository}${tagged}${digest === undefined ? '' : `@${digest}`}`;
}

/** `docker.io/library/busybox`. */
export function repositoryName({
  host,
  repository,
}: Pick<Reference, 'host' | 'repository'>): string {
  return `${host}/${repository}`;
}

function parseReferenceDigest(text: string, digest: string): Digest {
  try {
    return parseDigest(digest);
  } catch (cause) {
    throw new RuntimeError('invalid-argument', `image reference ${show(text)}`, { cause });
  }
}

/** A colon after the last slash begins a tag; one before it belongs to a port. */
function splitTag(named: string): [name: string, tag: string | undefined] {
  const colon = named.lastIndexOf(':');
  if (colon === -1 || colon < named.lastIndexOf('/')) {
    return [named, undefined];
  }
  return [named.slice(0, colon), named.slice(colon + 1)];
}

function splitHost(text: string, name: string): { host: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  // Only what looks like a host is one: a dot, a port, localhost, or capitals that no path may have.
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  let host = isHost ? first : 'docker.io';
  let repository = isHost ? name.slice(slash + 1) : name;
  if (host === 'index.docker.io') {
    host = 'docker.io';
  }
  if (host === 'docker.io' && !repository.includes('/')) {
    repository = `library/${repository}`;
  }
  checkName(text, name, host, repository);
  return { host, repository };
}

function checkName(text: string, name: string, host: string, repository: string): void {
  if (/^[0-9a-f]{64}$/.test(name) || /^sha256:[0-9a-f]{64}$/.test(text)) {
    throw bad(text, 'an image id, not a name');
  }
  if (!hostPattern.test(host)) {
    throw bad(text, 'malformed registry host');
  }
  if (repository !== repository.toLowerCase()) {
    throw bad(text, 'repository name must be lower case');
  }
  if (!repositoryPattern.test(repository)) {
    throw bad(text, 'malformed repository name');
  }
  if (host.length + 1 + repository.length > maxNameLength) {
    throw bad(text, `repository name longer than ${maxNameLength} characters`);
  }
}

function bad(text: string, why: string): RuntimeError {
  return new RuntimeError('invalid-argument', `image reference ${show(text)}: ${why}`);
}

function show(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
