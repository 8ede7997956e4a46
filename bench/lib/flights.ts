import type pg from 'pg'

export type Flight = readonly (pg.QueryConfig | 'begin' | 'commit')[]

/**
 * Sends a transaction's statements by hand, in these flights: the next one leaves when the last is answered. Gives the
 * answers. The pool must be opened with `pipeline`.
 */
export async function inFlights(pool: pg.Pool, flights: readonly Flight[]): Promise<pg.QueryResult[][]> {
  const client = await pool.connect()
  const answers: pg.QueryResult[][] = []
  try {
    for (const flight of flights)
      answers.push(await Promise.all(flight.map((statement) => client.query(statement as pg.QueryConfig))))
  } finally {
    client.release()
  }
  return answers
}
