import type { SpecClient } from './spec-connection.ts'

/** Whether a session waits for one of the others, by their process ids. */
export type IsBlocked = (processId: number) => Promise<boolean>

/**
 * Asks the server with the function that it has for its own tester: it counts only waits for the named sessions, so that
 * autovacuum's passing locks are none, and it knows of waits for a safe snapshot. Servers without it have
 * `pg_blocking_pids`, which knows of locks alone.
 */
export async function blockedBy(client: SpecClient, sessions: readonly number[]): Promise<IsBlocked> {
  const { rows } = await client.query(
    "select 1 from pg_catalog.pg_proc where proname = 'pg_isolation_test_session_is_blocked'",
  )
  const text =
    rows.length > 0
      ? 'select pg_catalog.pg_isolation_test_session_is_blocked($1, $2) as blocked'
      : 'select pg_catalog.pg_blocking_pids($1) && $2::int[] as blocked'
  return async (processId) => {
    const answer = await client.query({ name: 'spec_is_blocked', text, values: [processId, sessions] })
    return answer.rows[0].blocked
  }
}
