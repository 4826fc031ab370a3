import { RuntimeError } from '@gantry/errors';

/** The services of a node, as they stand in subjects, user names and queue groups. */
export const serviceNames = ['gateway', 'image', 'sandbox', 'stream', 'nri', 'cli'] as const;

export type ServiceName = (typeof serviceNames)[number];

const tokenPattern = /^[A-Za-z0-9_-]{1,128}$/;
// What may follow `_INBOX.`: tokens without wildcards, blanks or empty parts.
const keyPattern = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$/;
const inboxRoot = '_INBOX.';

/**
 * The token that stands for a node. Kubernetes node names hold dots and never
 * underscores, so two nodes can't share a token.
 */
export function nodeToken(node: string): string {
  return checkToken(node.replaceAll('.', '_'), `node ${JSON.stringify(node)}`);
}

/** `runtime.v1.RuntimeService/Version` as one token: `runtime_v1_RuntimeService-Version`. */
export function methodToken(method: string): string {
  return method.replaceAll('.', '_').replace('/', '-');
}

/** Gives `token` back, or throws `invalid-argument` when it can't stand in a subject. */
export function checkToken(token: string, what: string): string {
  if (!tokenPattern.test(token)) {
    throw new RuntimeError('invalid-argument', `${what} can't be a part of a bus subject`);
  }
  return token;
}

/** Every subject of one service on one node. README.md lists them. */
export function serviceSubjects(node: string, service: ServiceName): ServiceSubjects {
  const root = `gantry.${nodeToken(node)}.${service}`;
  return {
    root,
    request: (method) => `${root}.${methodToken(method)}`,
    requests: `${root}.*`,
    every: (method) => `${root}.every.${methodToken(method)}`,
    everies: `${root}.every.*`,
    callPrefix: `${root}.call.`,
    call: (instance, key) => `${root}.call.${instance}.${key}`,
    callsOf: (instance) => `${root}.call.${instance}.>`,
  };
}

export interface ServiceSubjects {
  readonly root: string;
  /** Where a request goes: one instance of the queue group gets it. */
  request(method: string): string;
  readonly requests: string;
  /** Where a request to every instance goes. */
  every(method: string): string;
  readonly everies: string;
  readonly callPrefix: string;
  /** Where a caller reaches the instance that serves its call; instance `all` is each of them. */
  call(instance: string, key: string): string;
  callsOf(instance: string): string;
}

/** The prefix of the inboxes of one service. */
export function inboxPrefix(service: ServiceName): string {
  return `${inboxRoot}${service}`;
}

/**
 * The key of a call, which is its reply subject less `_INBOX.`; undefined for
 * a reply subject that no caller of ours would use.
 */
export function keyOfInbox(reply: string | undefined): string | undefined {
  if (reply === undefined || !reply.startsWith(inboxRoot) || reply.length > 256) {
    return undefined;
  }
  const key = reply.slice(inboxRoot.length);
  return keyPattern.test(key) ? key : undefined;
}

export function inboxOfKey(key: string): string {
  return inboxRoot + key;
}

/**
 * The instance in a call subject that a service gave as its address, or
 * undefined when the subject is not one of `service` for the call `key`.
 */
export function instanceOfCall(
  subjects: ServiceSubjects,
  key: string,
  address: string | undefined,
): string | undefined {
  if (!address?.startsWith(subjects.callPrefix) || !address.endsWith(`.${key}`)) {
    return undefined;
  }
  const instance = address.slice(subjects.callPrefix.length, -key.length - 1);
  return tokenPattern.test(instance) ? instance : undefined;
}
