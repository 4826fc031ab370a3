import { buildGoProgram } from '@gantry/host/testing';

/** The release of Kubernetes whose kubelet the tests run. */
export const kubernetesVersion = '1.36.3';

/** Modules that Kubernetes keeps in its own tree, where only a build inside that tree finds them. */
const staging = [
  'api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider',
  'cluster-bootstrap code-generator component-base component-helpers controller-manager cri-api',
  'cri-client cri-streaming csi-translation-lib dynamic-resource-allocation endpointslice externaljwt',
  'kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics',
  'mount-utils pod-security-admission sample-apiserver streaming',
]
  .join(' ')
  .split(' ');

/** They are published under a version of their own: v0.36.3 for 1.36.3. */
const stagingVersion = `v${kubernetesVersion.replace(/^1/, '0')}`;

/** A scratch module in which the packages of Kubernetes can be built. */
export const kubernetesModule: Readonly<Record<string, string>> = {
  'go.mod': `module scratch

go 1.26

require k8s.io/kubernetes v${kubernetesVersion}

${staging.map((name) => `replace k8s.io/${name} => k8s.io/${name} ${stagingVersion}`).join('\n')}
`,
};

/** Options of the build: programs that know their version, and nothing of this host. */
export const kubernetesBuild = [
  '-trimpath',
  `-ldflags=-s -w -X k8s.io/component-base/version.gitVersion=v${kubernetesVersion}`,
] as const;

/** Builds a kubelet where no earlier run did: nine minutes of one core. Undefined without a Go toolchain. */
export function buildKubelet(): string | undefined {
  return buildGoProgram({
    name: `kubelet-${kubernetesVersion}`,
    files: kubernetesModule,
    command: ['build', ...kubernetesBuild, 'k8s.io/kubernetes/cmd/kubelet'],
  });
}
