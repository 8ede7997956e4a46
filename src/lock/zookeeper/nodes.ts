import type { LockMode, LockRequest } from '../engine.ts'
import { LIMIT_MAX, type QueueEntry } from '../queue.ts'

/** An entry of a queue, and the node that it is. */
export interface NodeEntry extends QueueEntry {
  readonly path: string
  readonly sequence: number
}

/** The node below which the queue of a lock stands. `n-` because a node may not be called `.` or `..`. */
export function nodeOf(root: string, name: string): string {
  return `${root}/n-${encodeURIComponent(name)}`
}

/** The lock that a child of `root` belongs to. */
export function nameOf(node: string): string {
  return decodeURIComponent(node.slice(2))
}

/** What the name of an entry's node begins with; ZooKeeper adds the number. */
export function entryStart({ mode, limit, holder }: LockRequest): string {
  return `${mode}_${Math.min(limit, LIMIT_MAX)}_${encodeURIComponent(holder)}_`
}

/** The entries among the children of a lock's node, in the order of arrival; what is none of ours is left out. */
export function toEntries(parent: string, children: readonly string[]): NodeEntry[] {
  return children
    .flatMap((node) => {
      const [, mode, limit, holder = '', sequence] = /^([a-z]+)_(\d+)_(.+)_(-?\d{10})$/.exec(node) ?? []
      if (sequence === undefined) return []
      return {
        path: `${parent}/${node}`,
        holder: decodeURIComponent(holder),
        mode: mode as LockMode,
        limit: Number(limit),
        sequence: Number(sequence),
      }
    })
    .sort((a, b) => a.sequence - b.sequence)
}
