/*
 * A stand-in for a service that is killed: creates the container of a launch (JSON, first
 * argument), starts it when the second argument is `start`, tells its processes on stdout, and
 * stays until it is killed.
 */
import { argv, stdout } from 'node:process';
import type { ContainerLaunch } from '../ports.ts';
import { openConmonRuntime } from './conmon-runtime.ts';

const [, , stateDir = '', launchJson = '', step] = argv;
const launch = JSON.parse(launchJson) as ContainerLaunch;
const runtime = await openConmonRuntime({ stateDir, conmon: 'conmon' });
stdout.write('creating\n');
const created = await runtime.create(launch);
if (step === 'start') {
  await runtime.start(launch.handler, launch.id);
}
stdout.write(`${JSON.stringify(created)}\n`);
setInterval(() => undefined, 60_000);
