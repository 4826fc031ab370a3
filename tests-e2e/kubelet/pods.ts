import { busyboxImage } from '../harness/stack.ts';

/** A manifest as a kubelet reads it from a file. */
export interface Pod {
  readonly apiVersion: 'v1';
  readonly kind: 'Pod';
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: object;
}

function pod(name: string, spec: object): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: { terminationGracePeriodSeconds: 5, ...spec },
  };
}

const container = (name: string, script: string, more: object = {}) => ({
  name,
  image: busyboxImage,
  imagePullPolicy: 'IfNotPresent',
  command: ['sh', '-c', script],
  ...more,
});

/** Every kind of container and probe that a pod can have, over a volume that the node can look into. */
export function webPod(hostDir: string): Pod {
  const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];
  const serve = "trap 'exit 0' TERM; httpd -p 8080 -h /shared; while :; do sleep 0.1; done";
  return pod('web', {
    securityContext: { fsGroup: 3000, supplementalGroups: [4000] },
    volumes: [
      { name: 'shared', hostPath: { path: hostDir } },
      { name: 'memory', emptyDir: { medium: 'Memory' } },
    ],
    initContainers: [
      container('init', 'echo from-init > /shared/index.html; id', { volumeMounts }),
      container('sidecar', "trap 'exit 0' TERM; while :; do sleep 0.1; done", {
        restartPolicy: 'Always',
      }),
    ],
    containers: [
      container('httpd', serve, {
        volumeMounts: [...volumeMounts, { name: 'memory', mountPath: '/memory' }],
        ports: [{ containerPort: 8080 }],
        env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
        resources: {
          requests: { cpu: '100m', memory: '32Mi' },
          limits: { cpu: '500m', memory: '64Mi' },
        },
        securityContext: {
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          seccompProfile: { type: 'RuntimeDefault' },
        },
        startupProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 60 },
        readinessProbe: { httpGet: { port: 8080, path: '/index.html' }, periodSeconds: 1 },
        livenessProbe: {
          exec: { command: ['test', '-f', '/shared/index.html'] },
          periodSeconds: 1,
        },
        lifecycle: {
          postStart: { exec: { command: ['sh', '-c', 'echo started > /shared/post'] } },
          preStop: { exec: { command: ['sh', '-c', 'echo stopping > /shared/pre'] } },
        },
      }),
      container('second', "trap 'exit 0' TERM; while :; do sleep 0.1; done", {
        securityContext: { runAsUser: 1000, runAsGroup: 2000 },
      }),
    ],
  });
}

/** Ends as soon as it has begun, for ever. */
export const crashingPod = pod('crash', {
  containers: [container('c', 'echo dying; echo because > /dev/termination-log; exit 3')],
});

/** One container that takes more memory than it may, one that does its work; users of its own. */
export const oomPod = pod('oom', {
  restartPolicy: 'Never',
  hostUsers: false,
  containers: [
    container('hungry', 'cat /proc/self/uid_map; x=a; while :; do x=$x$x; done', {
      resources: { limits: { memory: '20Mi' } },
    }),
    container('modest', 'echo fine'),
  ],
});

/** In the namespaces of the node. */
export const hostPod = pod('host', {
  hostNetwork: true,
  hostPID: true,
  containers: [container('c', 'sleep 1000', { securityContext: { privileged: true } })],
});
