export { isolatedRun } from '../setup/isolated-run.ts';
export { type Registry, startRegistry } from './registry.ts';
export { imageLayout, runDir } from './run-dir.ts';
export { pidsOf } from './services.ts';
export { busyboxImage, type Stack, startStack } from './stack.ts';
export { until } from './until.ts';
