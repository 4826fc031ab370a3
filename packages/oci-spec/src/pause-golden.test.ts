import { NamespaceMode, SecurityProfile_ProfileType as ProfileType } from '@gantry/proto';
import { inUserNamespace, onHost, testGoldens } from './golden-file.ts';
import { pauseSpec } from './index.ts';
import { pauseInput, plainHost, plainSandbox } from './testing.ts';

testGoldens({
  'pause-plain': () => pauseSpec(pauseInput()),

  'pause-configured': () =>
    pauseSpec(
      pauseInput({
        image: {
          user: '65535:65535',
          env: ['A=b'],
          entrypoint: [],
          cmd: ['/pause', '-v'],
          workingDir: '/x',
          stopSignal: '',
        },
        openFiles: 1024,
        sandbox: plainSandbox(
          {
            linux: {
              sysctls: {
                'net.ipv4.ip_unprivileged_port_start': '80',
                'kernel/shm_rmid_forced': '1',
              },
              securityContext: {
                seccomp: { profileType: ProfileType.Unconfined },
                runAsUser: { value: 7n },
                supplementalGroups: [8n],
              },
            },
          },
          {
            namespaces: { network: '/run/netns/pod1', uts: '/run/uts/pod1', ipc: '/run/ipc/pod1' },
          },
        ),
      }),
    ),

  'pause-privileged': () =>
    pauseSpec(
      pauseInput({
        sandbox: plainSandbox(
          {
            linux: {
              securityContext: {
                privileged: true,
                seccomp: { profileType: ProfileType.RuntimeDefault },
              },
            },
          },
          { namespaces: { network: '/run/netns/pod1' } },
        ),
      }),
    ),

  'pause-on-host': () =>
    pauseSpec(
      pauseInput({
        host: { ...plainHost, cgroupVersion: 2, lowestOomScoreAdj: 0 },
        sandbox: plainSandbox(
          { linux: { securityContext: { namespaceOptions: onHost } } },
          { namespaces: {} },
        ),
      }),
    ),

  'pause-user-namespace-on-host-network': () =>
    pauseSpec(
      pauseInput({
        sandbox: plainSandbox(
          {
            linux: {
              securityContext: {
                namespaceOptions: { network: NamespaceMode.NODE, ...inUserNamespace },
              },
            },
          },
          { namespaces: {} },
        ),
      }),
    ),
});
