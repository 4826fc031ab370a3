export { removeTestCgroups } from '../setup/cgroups.ts';
export { buildTestImages } from '../setup/images.ts';
export { runIsolated } from '../setup/isolate.ts';
export { missingTools } from '../setup/tools.ts';
export { type Registry, startRegistry } from './registry.ts';
export { imageLayout, runDir } from './run-dir.ts';
export { pidsOf } from './services.ts';
export { busyboxImage, type Stack, startStack } from './stack.ts';
export { until } from './until.ts';
