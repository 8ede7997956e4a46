export type {
  Broker,
  Delivery,
  Message,
  Publisher,
  PublishResult,
  SubscribeOptions,
  Subscription,
} from './broker.ts'
export { BrokerUnavailableError } from './errors.ts'
export { partitionOf, partitionOfMessage } from './partition.ts'
