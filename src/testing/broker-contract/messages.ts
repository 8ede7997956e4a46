import { randomUUID } from 'node:crypto'
import type { Message } from '../../broker/index.ts'

export function messages(topic: string, count: number, keys: number): Message[] {
  return range(count).map((i) => ({ ...message(topic, `key-${i % keys}`), payload: JSON.stringify({ i }) }))
}

export function message(topic: string, key: string | null): Message {
  return { id: randomUUID(), topic, key, payload: '{}', headers: {}, publishedAtMs: 1_700_000_000_000 }
}

/** Ids of each key, in order. */
export function byKey(list: readonly Message[]): Record<string, string[]> {
  const keys: Record<string, string[]> = {}
  for (const { key, id } of list) {
    const ids = keys[`key ${key}`] ?? []
    keys[`key ${key}`] = ids
    ids.push(id)
  }
  return Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The same, each id where it came first. */
export function firstsByKey(list: readonly Message[]): Record<string, string[]> {
  const seen = new Set<string>()
  return byKey(list.filter(({ id }) => !seen.has(id) && seen.add(id)))
}

export function randomTopic(): string {
  return `topic-${randomUUID()}`
}

export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}
