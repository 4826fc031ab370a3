import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildGoProgram, hashOf } from '@gantry/host/testing';

/** The release of NRI whose stub, the one that Go plugins are built on, the tests speak with. */
export const nriVersion = '0.12.5';

/**
 * A plugin on the official Go stub. Undefined without a Go toolchain; throws with the compiler's words when it can't be
 * built.
 */
export function buildJudge(): string | undefined {
  const source = readFileSync(join(import.meta.dirname, 'nri-judge/main.go'), 'utf8');
  return buildGoProgram({
    name: `nri-judge-${nriVersion}-${hashOf([source])}`,
    files: {
      'go.mod': `module scratch\n\ngo 1.24\n\nrequire github.com/containerd/nri v${nriVersion}\n`,
      'main.go': source,
    },
    command: ['build', '.'],
    environment: { CGO_ENABLED: '0' },
  });
}

/** The last of NRI's own plugins that is part of its main module: later ones can't be had from a module proxy. */
export function buildUlimitAdjuster(): string | undefined {
  return buildGoProgram({
    name: 'nri-ulimit-adjuster-0.4.0',
    files: {
      'go.mod': 'module scratch\n\ngo 1.24\n\nrequire github.com/containerd/nri v0.4.0\n',
    },
    command: ['build', 'github.com/containerd/nri/plugins/ulimit-adjuster'],
    environment: { CGO_ENABLED: '0' },
  });
}

/** Both, as variables for the tests. */
export function nriPlugins(): Readonly<Record<string, string>> {
  const judge = buildJudge();
  const ulimits = buildUlimitAdjuster();
  return {
    ...(judge === undefined ? {} : { GANTRY_E2E_NRI_JUDGE: judge }),
    ...(ulimits === undefined ? {} : { GANTRY_E2E_NRI_ULIMITS: ulimits }),
  };
}
