import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PodNetwork } from '../ports.ts';
import { capabilityValues, cniArgs, runtimeConfigOf } from './pod-arguments.ts';

const pod: PodNetwork = {
  sandboxId: 'abc',
  name: 'web',
  namespace: 'default',
  uid: 'u-1',
  netnsPath: '/run/netns/abc',
  annotations: { 'kubernetes.io/ingress-bandwidth': '10M', team: 'a' },
  portMappings: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIp: '127.0.0.1' }],
  cgroupParent: '/kubepods/pod1',
  dns: { servers: ['10.0.0.10'], searches: ['svc'], options: ['ndots:5'] },
};

test('CNI_ARGS names the pod as Kubernetes plugins expect', () => {
  assert.equal(
    cniArgs(pod),
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=u-1',
  );
});

test('a name that would set another key is invalid', () => {
  for (const name of ['web;K8S_POD_NAMESPACE=kube-system', 'a=b', 'a\nb']) {
    assert.throws(() => cniArgs({ ...pod, name }), {
      kind: 'invalid-argument',
      message: /K8S_POD_NAME/,
    });
  }
});

test('a plugin is told only what it declares', () => {
  const values = capabilityValues(pod);
  const told = (capabilities: Record<string, boolean>): unknown =>
    runtimeConfigOf({ type: 'x', capabilities }, values);

  assert.deepEqual(told({ portMappings: true }), {
    portMappings: [{ protocol: 'tcp', containerPort: 80, hostPort: 8080, hostIP: '127.0.0.1' }],
  });
  assert.deepEqual(
    told({ dns: true, cgroupPath: true, 'io.kubernetes.cri.pod-annotations': true }),
    {
      dns: pod.dns,
      cgroupPath: '/kubepods/pod1',
      'io.kubernetes.cri.pod-annotations': pod.annotations,
    },
  );
  assert.deepEqual(told({ bandwidth: true }), {
    bandwidth: { ingressRate: 10_000_000, ingressBurst: 4_294_967_295 },
  });
  assert.equal(told({ portMappings: false, ipRanges: true, toString: true }), undefined);
  assert.equal(runtimeConfigOf({ type: 'x' }, values), undefined);
});

test('a pod without mappings has no portMappings to tell', () => {
  const values = capabilityValues({ ...pod, portMappings: [] });
  assert.equal(
    runtimeConfigOf({ type: 'portmap', capabilities: { portMappings: true } }, values),
    undefined,
  );
});
