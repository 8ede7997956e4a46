/** The scope of the leases on an outbox's partitions, and the source of its dead letters. */
export function sourceOf(name: string): string {
  return `outbox/${name}`
}
