export type {
  Broker,
  Delivery,
  Message,
  Publisher,
  PublishResult,
  SubscribeOptions,
  Subscription,
} from './broker.ts'
export { type DirectBrokerOptions, directBroker } from './direct/direct-broker.ts'
export { BrokerUnavailableError, MessageNotSentError, MessageRefusedError } from './errors.ts'
export { partitionOf, partitionOfMessage } from './partition.ts'
