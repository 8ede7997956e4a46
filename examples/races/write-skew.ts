/** Write skew, with Kysely: each sees that the other is on call and goes home. The rows differ, so nothing collides. */
import { race } from 'holdfast/race'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'

interface Database {
  doctor: { id: string; on_call: boolean }
}

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const kysely = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })

type Level = 'repeatable read' | 'serializable'

async function goHome(id: string, level: Level): Promise<void> {
  await kysely
    .transaction()
    .setIsolationLevel(level)
    .execute(async (tx) => {
      const onCall = await tx.selectFrom('doctor').select('id').where('on_call', '=', true).execute()
      if (onCall.length < 2) return
      await tx.updateTable('doctor').set({ on_call: false }).where('id', '=', id).execute()
    })
}

function shift(name: string, level: Level) {
  return race(name, {
    store: pool,
    setup: (db) =>
      db.query(`create table if not exists doctor (id text primary key, on_call boolean not null);
                delete from doctor; insert into doctor values ('ann', true), ('ben', true)`),
    tasks: { ann: () => goHome('ann', level), ben: () => goHome('ben', level) },
  })
}

export default [
  shift('two doctors go home', 'repeatable read'),
  // The database refuses one of them, which may then try again.
  shift('two doctors go home, repaired', 'serializable'),
]
