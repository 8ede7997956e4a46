/** SQLSTATEs by which PostgreSQL declines a transaction that met another one: such a task must have left nothing. */
const REFUSALS = new Set([
  '40001', // serialization_failure
  '55P03', // lock_not_available: NOWAIT, lock_timeout
  '23505', // unique_violation
  '23P01', // exclusion_violation
  'SQLITE_BUSY',
  'SQLITE_BUSY_SNAPSHOT',
  'SQLITE_CONSTRAINT_UNIQUE',
  'SQLITE_CONSTRAINT_PRIMARYKEY',
])

/** The same of SQLite as node:sqlite gives them, in `errcode`. */
const ERRCODES = new Set([5, 517, 2067, 1555])

/** How deep libraries put the driver's error into their own. */
const DEPTH_MAX = 5

/**
 * True where the database, or Holdfast, declined: a serialization failure, a lock that was not to be waited for, a
 * unique key, a version conflict. A deadlock is none: it is a finding. Looks into the errors of libraries.
 */
export function isRefusal(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > DEPTH_MAX) return false
  const { code, errcode, outcome, deadlock } = error as Record<string, unknown>
  if (deadlock === true) return false
  if (outcome === 'not-applied' && typeof code === 'string') return code !== 'DEADLOCK'
  if (typeof code === 'string' && REFUSALS.has(code)) return true
  if (typeof errcode === 'number' && ERRCODES.has(errcode)) return true
  return within(error).some((inner) => isRefusal(inner, depth + 1))
}

/** True where the database failed with one of these. Looks into the errors of libraries. */
export function hasSqlState(error: unknown, states: readonly string[], depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > DEPTH_MAX) return false
  const { code } = error as { code?: unknown }
  if (typeof code === 'string' && states.includes(code)) return true
  return within(error).some((inner) => hasSqlState(inner, states, depth + 1))
}

/** The errors that one of a library may carry. */
function within(error: object): unknown[] {
  const { cause, driverError, original } = error as Record<string, unknown>
  return [cause, driverError, original]
}
