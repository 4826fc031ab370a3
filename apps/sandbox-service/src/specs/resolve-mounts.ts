import { readFile, realpath } from 'node:fs/promises';
import { quote, RuntimeError } from '@gantry/errors';
import type { ResolvedMount } from '@gantry/oci-spec';
import { type Mount, MountPropagation } from '@gantry/proto';
import { checkPathLength } from '../client-text.ts';
import { isBadPath, isMissing } from '../errno.ts';
import { makeDirectories } from '../make-directories.ts';

type Propagation = NonNullable<ResolvedMount['propagation']>;

/** What stands in for the source of a mount. */
export interface Substitutes {
  /** Image volumes by their index: mounted already. */
  readonly images: ReadonlyMap<number, string>;
  /** Where a host path with shifted ids will be; undefined for other mounts. */
  readonly shifted: (mount: Mount, index: number) => string | undefined;
}

/** Looks up the sources of a container's mounts. A host path that is not there becomes a directory, as both peers do. */
export async function resolveMounts(
  mounts: readonly Mount[],
  { images, shifted }: Substitutes = { images: new Map(), shifted: () => undefined },
): Promise<readonly ResolvedMount[]> {
  const needed = mounts.some((m) => m.propagation !== MountPropagation.PROPAGATION_PRIVATE);
  const table = needed ? await readFile('/proc/self/mountinfo', 'utf8') : '';
  return Promise.all(
    mounts.map(async (request, index): Promise<ResolvedMount> => {
      const image = images.get(index);
      const source = image ?? (await sourceOf(request));
      const stand = shifted(request, index);
      return {
        request,
        source: stand ?? source,
        ...((stand ?? image) === undefined ? {} : { idsMapped: true }),
        ...(request.propagation === MountPropagation.PROPAGATION_PRIVATE
          ? {}
          : { propagation: propagationIn(table, source) }),
      };
    }),
  );
}

/** The real path behind `host_path`, which is made where it is not there. */
export async function sourceOf({
  hostPath,
  containerPath,
}: Pick<Mount, 'hostPath' | 'containerPath'>): Promise<string> {
  const field = `config.mounts: ${quote(containerPath)}`;
  if (!hostPath.startsWith('/') || hostPath.includes('\0')) {
    const message = `${field}: host_path ${quote(hostPath)} is no absolute path`;
    throw new RuntimeError('invalid-argument', message);
  }
  checkPathLength(`${field}: host_path`, hostPath);
  try {
    return await realpath(hostPath);
  } catch (error) {
    if (!isMissing(error)) {
      throw unusable(field, hostPath, error);
    }
  }
  try {
    await makeDirectories(hostPath, 0o755);
    return await realpath(hostPath);
  } catch (cause) {
    throw unusable(field, hostPath, cause);
  }
}

/** A path that the client chose badly, and no trouble of ours: links in a circle, a file on the way, too long. */
function unusable(field: string, hostPath: string, cause: unknown): unknown {
  return isBadPath(cause)
    ? new RuntimeError('invalid-argument', `${field}: host_path ${quote(hostPath)} leads nowhere`, {
        cause,
      })
    : cause;
}

interface TableEntry extends Propagation {
  readonly mountPoint: string;
}

/**
 * How `path` propagates by the text of a mountinfo file: as the deepest mount
 * above it does, and of those at one place the last.
 */
export function propagationIn(mountinfo: string, path: string): Propagation {
  let best: TableEntry | undefined;
  for (const entry of parseTable(mountinfo)) {
    const { mountPoint } = entry;
    const holds = mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (holds && mountPoint.length >= (best?.mountPoint.length ?? 0)) {
      best = entry;
    }
  }
  return { shared: best?.shared === true, slave: best?.slave === true };
}

/** The optional fields of mountinfo stand between the sixth one and a lone dash (proc_pid_mountinfo(5)). */
function parseTable(text: string): readonly TableEntry[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      const optional = fields.slice(6, fields.indexOf('-', 6));
      return {
        mountPoint: unescapeOctal(fields[4] ?? ''),
        shared: optional.some((field) => field.startsWith('shared:')),
        slave: optional.some((field) => field.startsWith('master:')),
      };
    });
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
