/** The places of a coordinator, in the order in which a transaction passes them. */
export const POINTS = [
  'two-phase.begun',
  'two-phase.worked',
  'two-phase.preparing',
  'store.prepare.before',
  'store.prepare.after',
  'two-phase.prepared',
  'two-phase.deciding',
  'store.commit.before',
  'store.commit.after',
  'two-phase.decided',
  'two-phase.committing',
  'two-phase.committed',
]

/** Those that are passed once the decision to commit is durable. */
export const DECIDED: ReadonlySet<string> = new Set(POINTS.slice(POINTS.indexOf('store.commit.after')))
