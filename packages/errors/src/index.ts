export { grpcCodeOf, kindOfGrpcCode } from './grpc-code.ts';
export { quote, shownId } from './quote.ts';
export { type ErrorKind, isKind, kindOf, messageOf, RuntimeError } from './runtime-error.ts';
