import { buildGoProgram } from '@gantry/host/testing';
import { buildKubelet, kubernetesBuild, kubernetesModule, kubernetesVersion } from './kubelet.ts';

/** What a run of Kubernetes' node conformance tests needs and only a Go toolchain can make. */
export interface NodeConformancePrograms {
  readonly kubelet: string;
  /** The suite of specs; it also has an API server and etcd in it. */
  readonly suite: string;
  readonly ginkgo: string;
  /** The one program that most of its containers run. */
  readonly agnhost: string;
}

/** Builds them where no earlier run did, in half an hour of one core. Undefined without a Go toolchain. */
export function buildNodeConformance(): NodeConformancePrograms | undefined {
  const kubelet = buildKubelet();
  const suite = buildGoProgram({
    name: `node-conformance-${kubernetesVersion}`,
    files: kubernetesModule,
    command: ['test', '-c', '-vet=off', ...kubernetesBuild, 'k8s.io/kubernetes/test/e2e_node'],
  });
  const ginkgo = buildGoProgram({
    name: `ginkgo-of-kubernetes-${kubernetesVersion}`,
    files: kubernetesModule,
    command: ['build', 'github.com/onsi/ginkgo/v2/ginkgo'],
  });
  const agnhost = buildGoProgram({
    name: `agnhost-${kubernetesVersion}`,
    files: kubernetesModule,
    command: ['build', ...kubernetesBuild, 'k8s.io/kubernetes/test/images/agnhost'],
    environment: { CGO_ENABLED: '0' },
  });
  return kubelet === undefined ||
    suite === undefined ||
    ginkgo === undefined ||
    agnhost === undefined
    ? undefined
    : { kubelet, suite, ginkgo, agnhost };
}
