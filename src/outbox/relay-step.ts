/** What the relay knows when it decides. Times are on the monotonic clock; Infinity means never. */
export interface RelayState {
  readonly stopping: boolean
  /** Messages on their way: being published, or stored by the broker and not yet deleted. */
  readonly inHand: number
  /** A read of a whole batch is made only when this many or fewer are in hand. */
  readonly inHandMax: number
  /** Bytes of large payloads that are being published, and how many of them leave room for a read. */
  readonly largeBytes: number
  readonly largeBytesMax: number
  /** Partitions that may have messages and that nothing is being published from. */
  readonly readable: number
  /** While the broker or the store is out of reach, nothing is read before this. */
  readonly resumeAtMs: number
  /** A short while after the last read, unless that left something behind. */
  readonly nextReadAtMs: number
  readonly nextPollAtMs: number
  /** When the next delayed message may be due. */
  readonly nextLaterAtMs: number
  /** When the next blocked key or paused partition may be tried again. */
  readonly nextUnblockAtMs: number
}

export type RelayStep =
  | { readonly kind: 'end' }
  | { readonly kind: 'unblock' }
  | { readonly kind: 'move-due' }
  | { readonly kind: 'poll' }
  | { readonly kind: 'read' }
  | { readonly kind: 'wait'; readonly untilMs: number }

/**
 * Decides what the relay does next. No clock, no I/O, so a test can list every case.
 *
 * `read` reads the partitions that were said to have messages; `poll` reads all, for messages of other processes.
 * Delayed messages come first, since moving them is rare and bounded; a read of a busy outbox would starve them.
 */
export function nextRelayStep(state: RelayState, nowMs: number): RelayStep {
  if (state.stopping) return { kind: 'end' }
  if (nowMs >= state.nextUnblockAtMs) return { kind: 'unblock' }
  if (nowMs < state.resumeAtMs) return { kind: 'wait', untilMs: state.resumeAtMs }
  if (nowMs >= state.nextLaterAtMs) return { kind: 'move-due' }
  const hasRoom = state.inHand <= state.inHandMax && state.largeBytes <= state.largeBytesMax
  if (hasRoom && nowMs >= state.nextPollAtMs) return { kind: 'poll' }
  if (hasRoom && state.readable > 0 && nowMs >= state.nextReadAtMs) return { kind: 'read' }
  // Without room, the end of a publish or a delete rings.
  const untilMs = Math.min(
    state.nextUnblockAtMs,
    state.nextLaterAtMs,
    hasRoom ? state.nextPollAtMs : Number.POSITIVE_INFINITY,
    hasRoom && state.readable > 0 ? state.nextReadAtMs : Number.POSITIVE_INFINITY,
  )
  return { kind: 'wait', untilMs }
}
