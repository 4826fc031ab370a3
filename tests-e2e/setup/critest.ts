import { buildGoProgram } from '@gantry/host/testing';
import { criToolsModule, criToolsVersion } from './crictl.ts';

/** What a run of critest needs and only a Go toolchain can make. */
export interface CritestPrograms {
  readonly critest: string;
  /** The command that runs specs in several processes; of the version that critest is built with. */
  readonly ginkgo: string;
  /** The setuid program of the image `nonewprivs`. */
  readonly effectiveUid: string;
}

/** Builds them where no earlier run did. Undefined without a Go toolchain. */
export function buildCritest(): CritestPrograms | undefined {
  const critest = buildGoProgram({
    name: `critest-${criToolsVersion}`,
    files: criToolsModule,
    command: ['test', '-c', 'sigs.k8s.io/cri-tools/cmd/critest'],
  });
  const ginkgo = buildGoProgram({
    name: `ginkgo-of-cri-tools-${criToolsVersion}`,
    files: criToolsModule,
    command: ['build', 'github.com/onsi/ginkgo/v2/ginkgo'],
  });
  const effectiveUid = buildGoProgram({
    name: 'effective-uid-1',
    files: { 'go.mod': 'module scratch\n\ngo 1.24\n', 'main.go': effectiveUidSource },
    command: ['build', '.'],
    environment: { CGO_ENABLED: '0' },
  });
  return critest === undefined || ginkgo === undefined || effectiveUid === undefined
    ? undefined
    : { critest, ginkgo, effectiveUid };
}

const effectiveUidSource = `package main

import (
	"fmt"
	"os"
)

func main() { fmt.Printf("Effective uid: %d\\n", os.Geteuid()) }
`;
