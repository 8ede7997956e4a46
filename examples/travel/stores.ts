import { join } from 'node:path'
import { type Store, sql } from 'holdfast'
import { sqlite } from 'holdfast/sqlite'
import { allTables, migrate } from 'holdfast/tables'
import Database from 'libsql'

/** The database of the trips, whose journal it keeps, and those of the three services. */
export interface TravelStores {
  readonly trips: Store
  readonly flights: Store
  readonly hotels: Store
  readonly cars: Store
  close(): Promise<void>
}

export async function openStores(folder: string): Promise<TravelStores> {
  const open = async (name: string): Promise<Store> => {
    const store = sqlite({ open: () => new Database(join(folder, `${name}.db`)) as never })
    await migrate(store, allTables)
    await store.execute('create table if not exists bookings (trip text primary key, what text not null)')
    return store
  }
  const [trips, flights, hotels, cars] = [
    await open('trips'),
    await open('flights'),
    await open('hotels'),
    await open('cars'),
  ]
  return {
    trips,
    flights,
    hotels,
    cars,
    close: async () => {
      for (const store of [trips, flights, hotels, cars]) await store.close()
    },
  }
}

/** What is booked for a trip, asked of the three services themselves. */
export async function bookingsOf({ flights, hotels, cars }: TravelStores, trip: string): Promise<string[]> {
  const found: string[] = []
  for (const store of [flights, hotels, cars]) {
    const rows = await store.query<{ what: string }>(sql`select what from bookings where trip = ${trip}`)
    found.push(...rows.map((row) => row.what))
  }
  return found
}
