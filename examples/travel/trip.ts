import { type Store, sql } from 'holdfast'
import { StepRefusedError } from 'holdfast/participant'
import { type Saga, type SagaContext, saga } from 'holdfast/saga'
import type { TravelStores } from './stores.ts'

export interface Trip {
  readonly to: string
}

export interface Booked {
  readonly flight: string
  readonly hotel: string
  readonly car: string
}

/** Books with one service: a transaction there, with its reversal. Each happens once, however often it is tried. */
function book(s: SagaContext, name: string, store: Store, what: string): Promise<string> {
  return s.transaction(
    name,
    store,
    async (tx) => {
      if (what.startsWith('car') && what.endsWith('Oslo')) throw new StepRefusedError('sold_out')
      await tx.execute(sql`insert into bookings (trip, what) values (${s.sagaId}, ${what})`)
      return what
    },
    { undo: (tx) => tx.execute(sql`delete from bookings where trip = ${s.sagaId}`) },
  )
}

/** A flight, then the hotel and the car at the same time; all of them, or none. */
export function bookTrip(
  { flights, hotels, cars }: TravelStores,
  onHotel = (): void => {},
): Saga<Trip, Booked> {
  return saga('book-trip', async (s, { to }: Trip) => {
    const flight = await book(s, 'flight', flights, `flight to ${to}`)
    const { hotel, car } = await s.all('there', {
      hotel: async (b) => {
        const hotel = await book(b, 'hotel', hotels, `room in ${to}`)
        onHotel()
        return hotel
      },
      car: (b) => book(b, 'car', cars, `car in ${to}`),
    })
    return { flight, hotel, car }
  })
}
