const PREFIX = 'outbox/'

/** The scope of the leases on an outbox's partitions, and the source of its dead letters. */
export function sourceOf(name: string): string {
  return PREFIX + name
}

/** The outbox that a dead letter came from; undefined when it came from an inbox. */
export function outboxOf(source: string): string | undefined {
  return source.startsWith(PREFIX) ? source.slice(PREFIX.length) : undefined
}
