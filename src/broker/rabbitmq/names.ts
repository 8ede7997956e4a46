import { encodeName } from '../names.ts'

/** Names on the server, each within RabbitMQ's bound of 255 bytes. */
export interface RabbitNames {
  exchange(topic: string): string
  queue(topic: string, group: string, partition: number): string
}

export function rabbitNames(prefix: string): RabbitNames {
  // Colons part the pieces and are not among what stays, so no two (topic, group, partition) share a name.
  const topicName = (topic: string): string => encodeName(topic, 100, '.')
  return {
    exchange: (topic) => `${prefix}:${topicName(topic)}`,
    queue: (topic, group, partition) =>
      `${prefix}:${topicName(topic)}:${encodeName(group, 90, '.')}:${partition}`,
  }
}
