import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { NamespaceMode, PodSandboxConfigSchema } from '@gantry/proto';
import { podSysctls } from './sysctls.ts';

const both = { unprivilegedPorts: true, unprivilegedIcmp: true };
const of = (init: MessageInitShape<typeof PodSandboxConfigSchema>, defaults = both) =>
  podSysctls(create(PodSandboxConfigSchema, init), defaults);
const ports = { 'net.ipv4.ip_unprivileged_port_start': '0' };
const icmp = { 'net.ipv4.ping_group_range': '0 2147483647' };

test('a pod may bind low ports and ping, as far as the node lets it', () => {
  assert.deepEqual(of({}), { ...ports, ...icmp });
  assert.deepEqual(of({}, { unprivilegedPorts: true, unprivilegedIcmp: false }), ports);
  assert.deepEqual(of({}, { unprivilegedPorts: false, unprivilegedIcmp: true }), icmp);
});

test('what the request says counts', () => {
  const sysctls = { 'net.ipv4.ping_group_range': '1 0', 'net/ipv4/tcp_fin_timeout': '9' };
  assert.deepEqual(of({ linux: { sysctls } }), {
    ...ports,
    'net.ipv4.ping_group_range': '1 0',
    'net.ipv4.tcp_fin_timeout': '9',
  });
});

test('on the host’s network nothing is changed', () => {
  const securityContext = { namespaceOptions: { network: NamespaceMode.NODE } };
  assert.deepEqual(of({ linux: { securityContext } }), {});
});

test('in a user namespace the range of groups is left alone', () => {
  const usernsOptions = { mode: NamespaceMode.POD };
  assert.deepEqual(
    of({ linux: { securityContext: { namespaceOptions: { usernsOptions } } } }),
    ports,
  );
});

test('a device with dots in its name has a slash there', () => {
  const sysctls = { 'net/ipv4/conf/eth0.100/forwarding': '1' };
  const found = of({ linux: { sysctls } })['net.ipv4.conf.eth0/100.forwarding'];
  assert.equal(found, '1');
});

for (const [name, options, message] of [
  ['vm.swappiness', {}, /whole node/],
  ['kernel.core_pattern', {}, /whole node/],
  ['../../etc/passwd', {}, /no name/],
  ['net/../vm/swappiness', {}, /no name/],
  ['net.ipv4/../../vm.swappiness', {}, /no name/],
  ['net.ipv4.ip_forward', { network: NamespaceMode.NODE }, /network of the host/],
  ['kernel.shm_rmid_forced', { ipc: NamespaceMode.NODE }, /IPC of the host/],
  ['fs.mqueue.msg_max', { ipc: NamespaceMode.NODE }, /IPC of the host/],
] as const) {
  test(`the sysctl ${name} is refused`, () => {
    const linux = { sysctls: { [name]: '1' }, securityContext: { namespaceOptions: options } };
    assert.throws(() => of({ linux }), { kind: 'invalid-argument', message });
  });
}
