export { gatherHealth, gatherMetrics, type HealthReport } from './admin.ts';
export { credentialsFile, natsServers } from './connect.ts';
export { runService, runServices } from './run-service.ts';
export type { ServiceContext, ServiceDefinition, StartedService } from './service-definition.ts';
export {
  newInstance,
  type RunningService,
  type StartOptions,
  startService,
} from './start-service.ts';
