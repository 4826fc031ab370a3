import { buildGoProgram } from '@gantry/host/testing';

/** The release of cri-tools whose crictl and critest the tests drive. */
export const criToolsVersion = '1.36.0';

/** Requires the version in a module of its own: `go install pkg@version` also wants the list of versions. */
export const criToolsModule = {
  'go.mod': `module scratch\n\ngo 1.24\n\nrequire sigs.k8s.io/cri-tools v${criToolsVersion}\n`,
} as const;

/**
 * Gives the path of crictl, building it with the Go toolchain where no earlier run did. Undefined without a toolchain.
 * Throws when there is a toolchain and the build fails.
 */
export function buildCrictl(): string | undefined {
  return buildGoProgram({
    name: `crictl-${criToolsVersion}`,
    files: criToolsModule,
    command: ['build', 'sigs.k8s.io/cri-tools/cmd/crictl'],
  });
}
