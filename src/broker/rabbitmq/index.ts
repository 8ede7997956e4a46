export { type RabbitMqBroker, type RabbitMqOptions, rabbitmq } from './rabbitmq.ts'
export type { RabbitChannelLike, RabbitConnectionLike } from './rabbitmq-client.ts'
