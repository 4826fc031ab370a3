import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '@gantry/errors';
import type { KernelVersion } from '@gantry/oci-spec';
import { array, nullish, object, safeParse, string } from 'valibot';

/** The layers of an overlay may be mounts that map ids since then. */
const neededKernel: KernelVersion = { major: 5, minor: 19 };

interface Facts {
  readonly kernel: KernelVersion;
  /** Throws where user namespaces or mapped ids are not to be had; see `tryIdmap` of @gantry/host. */
  readonly tryIdmap: () => Promise<void>;
  /** Below it are the roots of pods. */
  readonly stateDir: string;
}

/** Why no pod of this host can have a user namespace, whatever its handler; undefined when it can. */
export async function hostWithoutUserNamespaces({
  kernel,
  tryIdmap,
  stateDir,
}: Facts): Promise<string | undefined> {
  const { major, minor } = neededKernel;
  if (kernel.major < major || (kernel.major === major && kernel.minor < minor)) {
    return `Linux ${String(major)}.${String(minor)} is needed, this is ${String(kernel.major)}.${String(kernel.minor)}`;
  }
  try {
    await tryIdmap();
    return await barrierAbove(stateDir);
  } catch (error) {
    return messageOf(error);
  }
}

/** The root of a pod is nobody outside: it has to come by all directories above its root file system. */
async function barrierAbove(directory: string): Promise<string | undefined> {
  for (let path = directory; path !== '/'; path = dirname(path)) {
    if (((await stat(path)).mode & 0o001) === 0) {
      return `others may not pass ${path}: chmod o+x it`;
    }
  }
  return undefined;
}

// `linux.namespaces` of `<runtime> features` (OCI runtime spec, features.md).
const schema = object({ linux: object({ namespaces: nullish(array(string()), []) }) });

/**
 * Why pods of a handler can't have one. We map the ids of roots and volumes
 * ourselves: the runtime only has to enter the namespace. crun always could, and
 * cannot say so before 1.8.6.
 */
export function withoutUserNamespaces(
  handler: { readonly features?: unknown; readonly version?: string },
  host: string | undefined,
): string | undefined {
  if (host !== undefined) {
    return host;
  }
  const told = safeParse(schema, handler.features);
  const knows = told.success
    ? told.output.linux.namespaces.includes('user')
    : handler.version?.startsWith('crun ') === true;
  return knows ? undefined : 'the runtime does not say that it has them (`features`)';
}
