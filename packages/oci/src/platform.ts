import { arch } from 'node:process';

/** An operating system and CPU in Go's words (OCI image spec, image-index.md). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
}

/** `linux/arm/v7`. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return variant === undefined || variant === ''
    ? `${os}/${architecture}`
    : `${os}/${architecture}/${variant}`;
}

/** What this node runs, best first: its own CPU, then older ones that it can run as well. */
export function hostPlatforms(cpu: string = arch): readonly Platform[] {
  const linux = (architecture: string, variant = ''): Platform => ({
    os: 'linux',
    architecture,
    variant,
  });
  switch (cpu) {
    case 'x64':
      return [linux('amd64'), linux('386')];
    case 'arm64':
      return [linux('arm64'), ...['v8', 'v7', 'v6', 'v5'].map((v) => linux('arm', v))];
    case 'arm':
      return ['v7', 'v6', 'v5'].map((v) => linux('arm', v));
    case 'ia32':
      return [linux('386')];
    default:
      return [linux(cpu)];
  }
}

/**
 * Picks what `wanted` likes best. An entry without a platform is taken only
 * when nothing else fits, as containerd does.
 */
export function choosePlatform<T extends { readonly platform?: Platform | undefined }>(
  entries: readonly T[],
  wanted: readonly Platform[],
): T | undefined {
  for (const want of wanted) {
    const key = formatPlatform(normalize(want));
    const found = entries.find(
      ({ platform }) => platform !== undefined && formatPlatform(normalize(platform)) === key,
    );
    if (found !== undefined) {
      return found;
    }
  }
  return entries.find(({ platform }) => platform === undefined);
}

const aliases: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
  armhf: 'arm',
};

/** Many names of one platform become one: the variant that goes without saying is dropped. */
function normalize({ os, architecture, variant = '' }: Platform): Platform {
  const lower = architecture.toLowerCase();
  const cpu = aliases[lower] ?? lower;
  const version = /^[0-9]$/.test(variant) ? `v${variant}` : variant.toLowerCase();
  const silent: Readonly<Record<string, string>> = { amd64: 'v1', arm64: 'v8', arm: 'v7' };
  return {
    os: os.toLowerCase(),
    architecture: cpu,
    variant: silent[cpu] === version ? '' : version,
  };
}
