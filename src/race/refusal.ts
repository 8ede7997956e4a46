/** SQLSTATEs by which PostgreSQL declines a transaction that met another one: such a task must have left nothing. */
const REFUSALS = new Set([
  '40001', // serialization_failure
  '55P03', // lock_not_available: NOWAIT, lock_timeout
  '23505', // unique_violation
  '23P01', // exclusion_violation
])

/** How deep libraries put the driver's error into their own. */
const DEPTH_MAX = 5

/**
 * True where the database, or Holdfast, declined: a serialization failure, a lock that was not to be waited for, a
 * unique key, a version conflict. A deadlock is none: it is a finding. Looks into the errors of libraries.
 */
export function isRefusal(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > DEPTH_MAX) return false
  const { code, outcome, cause, driverError, original } = error as Record<string, unknown>
  if (outcome === 'not-applied' && typeof code === 'string') return code !== 'DEADLOCK'
  if (typeof code === 'string' && REFUSALS.has(code)) return true
  return [cause, driverError, original].some((inner) => isRefusal(inner, depth + 1))
}
