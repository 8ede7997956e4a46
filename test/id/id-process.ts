/** Takes ids from a state file and writes each before it asks for the next: `count` of them, or until it is killed. */
import { feistel, fileCounter, permutedIds } from 'holdfast/id'
import { failpoints } from 'holdfast/testing'

const { path, count, blockSize, killAt, hold } = JSON.parse(process.argv[2] as string) as {
  path: string
  count?: number
  blockSize: number
  killAt?: string
  /** Stays alive, with the file, when all are written. */
  hold?: boolean
}
const say = (line: object): Promise<unknown> =>
  new Promise((resolve) => process.stdout.write(`${JSON.stringify(line)}\n`, resolve))

if (killAt !== undefined) failpoints.arm(killAt, 'kill', { skip: 2 })
const ids = permutedIds({ instance: 3, source: fileCounter(path), permutation: feistel('public'), blockSize })
try {
  for (let i = 0; i < (count ?? Number.POSITIVE_INFINITY); i++) await say({ id: `${await ids.next()}` })
  if (hold) setInterval(() => {}, 60_000)
} catch (error) {
  await say({ refused: (error as { code: string }).code })
}
