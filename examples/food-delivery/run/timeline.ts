import type { FaultReport } from '../shared/faults.ts'

/** Something that happened during a run, for the record: `atMs` counts from the first order. */
export interface TimelineEvent {
  readonly atMs: number
  readonly kind: 'kill' | 'pause' | 'up' | FaultReport['kind']
  readonly service: string
  readonly detail?: string
}

/** Collects what happened; bounded, since a long run meets many faults. */
export class Timeline {
  readonly events: TimelineEvent[] = []
  readonly counts = new Map<string, number>()
  #startedMs = performance.now()

  start(): void {
    this.#startedMs = performance.now()
    this.events.length = 0
    this.counts.clear()
  }

  nowMs(): number {
    return performance.now() - this.#startedMs
  }

  add(kind: TimelineEvent['kind'], service: string, detail?: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
    if (this.events.length >= EVENTS_MAX) return
    const atMs = Math.round(this.nowMs())
    this.events.push(detail === undefined ? { atMs, kind, service } : { atMs, kind, service, detail })
  }

  count(kind: TimelineEvent['kind']): number {
    return this.counts.get(kind) ?? 0
  }
}

const EVENTS_MAX = 50_000
