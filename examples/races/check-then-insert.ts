/** Check-then-insert, with Drizzle: both look for the address, neither finds it, and both sign up. */
import { eq } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { pgTable, serial, text } from 'drizzle-orm/pg-core'
import { race } from 'holdfast/race'
import pg from 'pg'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const db = drizzle(pool)
const columns = () => ({ id: serial().primaryKey(), email: text().notNull() })
const member = pgTable('member', columns())
const memberOnce = pgTable('member_once', columns())

async function signUp(table: typeof member | typeof memberOnce): Promise<void> {
  await db.transaction(async (tx) => {
    const found = await tx.select().from(table).where(eq(table.email, 'ann@example.org'))
    if (found.length === 0) await tx.insert(table).values({ email: 'ann@example.org' })
  })
}

function signUps(name: string, table: typeof member | typeof memberOnce) {
  return race(name, {
    store: pool,
    setup: (on) =>
      on.query(`create table if not exists member (id serial primary key, email text not null);
                create table if not exists member_once (id serial primary key, email text not null unique);
                delete from member; delete from member_once`),
    tasks: { alice: () => signUp(table), bob: () => signUp(table) },
  })
}

export default [
  signUps('two sign up', member),
  // A unique constraint looks and inserts in one.
  signUps('two sign up, repaired', memberOnce),
]
