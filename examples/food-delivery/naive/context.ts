import type { Event, Topic } from '../shared/domain.ts'
import type { Routes } from '../shared/http.ts'

/** What a service of the first version works with: a database client and a message client, each simple to use. */
export interface Naive {
  /** Runs one statement, which commits by itself. */
  query<Row = Record<string, unknown>>(text: string, ...values: readonly unknown[]): Promise<Row[]>
  publish(topic: Topic, event: Event): Promise<void>
  /** Calls `handle` with each message of a topic. */
  on<E extends Event>(topic: Topic, group: string, handle: (event: E) => Promise<void>): Promise<void>
}

export type NaiveService = (context: Naive) => Promise<Routes>
