/** One process of the exercise: opens its clients once, then deposits in one way after the other when told to. */
import { type Address, openBank } from './bank.ts'
import { type Client, ways } from './ways.ts'

export interface WorkerSetup {
  readonly address: Address
  readonly clients: number
}

export interface Job {
  readonly way: string
  /** Of all clients of this process together. */
  readonly deposits: number
}

export type WorkerMessage =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'done'
      readonly confirmed: number
      readonly refused: number
      /** The first reason, for example. */
      readonly refusal?: string
    }

const setup = JSON.parse(process.argv[2] ?? '') as WorkerSetup
const bank = await openBank(setup.address, setup.clients)
const mutex = oneAtATime()
const clients: Client[] = []
for (let i = 0; i < setup.clients; i++) clients.push({ bank, mutex, raw: await bank.connect() })
process.on('message', (job: Job) => void run(job).then(send))
process.on('disconnect', () => void bank.close())
send({ kind: 'ready' })

async function run(job: Job): Promise<WorkerMessage> {
  const way = ways.find((w) => w.name === job.way)
  if (way === undefined) throw new Error(`no way ${job.way}`)
  let left = job.deposits
  let confirmed = 0
  let refused = 0
  let refusal: string | undefined
  await Promise.all(
    clients.map(async (client) => {
      while (left-- > 0) {
        try {
          await way.deposit(client)
          confirmed++
        } catch (error) {
          refused++
          refusal ??= error instanceof Error ? error.message : String(error)
        }
      }
    }),
  )
  return { kind: 'done', confirmed, refused, ...(refusal === undefined ? {} : { refusal }) }
}

function send(message: WorkerMessage): void {
  process.send?.(message)
}

function oneAtATime(): Client['mutex'] {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }
}
