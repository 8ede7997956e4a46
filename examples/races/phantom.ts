/** Phantom, with TypeORM: both count the bookings of a room with one seat, and the row that each adds changes the other's count. */
import { race } from 'holdfast/race'
import pg from 'pg'
import { DataSource } from 'typeorm'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
export const source = new DataSource({ type: 'postgres', url: process.env.DATABASE_URL as string })

async function book(readRoom: string): Promise<void> {
  await source.transaction(async (manager) => {
    const [room] = await manager.query(readRoom)
    const [{ taken }] = await manager.query('select count(*)::int as taken from booking where room = 7')
    if (taken < room.seats) await manager.query('insert into booking (room) values (7)')
  })
}

function bookings(name: string, readRoom: string) {
  return race(name, {
    store: pool, // of the same pg that TypeORM uses
    setup: async (db) => {
      // It connects when it is initialized, so not while the file is loaded.
      if (!source.isInitialized) await source.initialize()
      await db.query(`create table if not exists room (id int primary key, seats int not null);
                      create table if not exists booking (id serial primary key, room int not null);
                      delete from booking; delete from room; insert into room values (7, 1)`)
    },
    tasks: { alice: () => book(readRoom), bob: () => book(readRoom) },
  })
}

const READ = 'select seats from room where id = 7'

export default [
  bookings('two bookings', READ),
  // The room's row stands for all of its bookings.
  bookings('two bookings, repaired', `${READ} for update`),
]
