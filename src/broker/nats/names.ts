import { encodeName } from '../names.ts'

/** Names on the server. A dot parts the tokens of a subject, so topics keep none. */
export interface NatsNames {
  stream(topic: string): string
  /** Every partition of a topic. */
  subjects(topic: string): string
  subject(topic: string, partition: number): string
  /** A new name for a consumer of the partition; no two calls give the same. */
  consumer(group: string, partition: number, unique: string): string
  /** True for the names that `consumer` gives for this group and partition. */
  isConsumerOf(name: string, group: string, partition: number): boolean
}

export function natsNames(prefix: string): NatsNames {
  const token = (topic: string): string => encodeName(topic, 120)
  return {
    stream: (topic) => `${prefix}_${token(topic)}`,
    subjects: (topic) => `${prefix}.${token(topic)}.*`,
    subject: (topic, partition) => `${prefix}.${token(topic)}.${partition}`,
    consumer: (group, partition, unique) => `${encodeName(group, 120)}_${partition}_${unique}`,
    isConsumerOf(name, group, partition) {
      // From the right, since a group's name may itself look like `a_1`.
      const [, found, of] = /^(.*)_(\d+)_[0-9a-f]+$/.exec(name) ?? []
      return found === encodeName(group, 120) && of === String(partition)
    },
  }
}
