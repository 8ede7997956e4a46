export { type NatsBroker, type NatsClient, type NatsOptions, nats } from './nats.ts'
export type { JetStreamLike, NatsHeadersLike } from './nats-client.ts'
