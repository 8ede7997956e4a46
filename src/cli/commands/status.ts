import { allTables } from '../../tables/index.ts'
import { parseAge, printAge } from '../age.ts'
import { usageError } from '../cli-error.ts'
import { type Command, EXIT, type Given, textValue } from '../command.ts'
import { STORE_OPTIONS, withStore } from '../open-store.ts'
import { printLoss, readLosses, readRevisions } from '../revisions.ts'
import { measureRates } from '../status/measure-rates.ts'
import { printStatus } from '../status/print-status.ts'
import { readStatus, type Status } from '../status/read-status.ts'
import { wholeNumber } from '../whole-number.ts'

export const status: Command = {
  name: 'status',
  summary: 'show backlog, lag, leases, dead letters and sagas',
  description: [
    "Reads only. Ages are reckoned on the store's clock.",
    'With --max-lag, --max-dead or --max-stuck it ends with 1 when a bound is passed, so that it can serve as a health check.',
  ].join('\n'),
  options: {
    ...STORE_OPTIONS,
    rates: {
      type: 'string',
      value: 'AGE',
      summary: 'look twice, this far apart, and show messages per second',
    },
    'max-lag': { type: 'string', value: 'AGE', summary: 'end with 1 when a message has waited longer' },
    'max-stuck': { type: 'string', value: 'N', summary: 'end with 1 when more sagas are stuck' },
    'max-dead': { type: 'string', value: 'N', summary: 'end with 1 when there are more dead letters' },
  },
  examples: [
    { line: 'holdfast status --store sqlite:shop.db', does: 'what waits, and who relays it' },
    { line: 'holdfast status --store postgres://app@db/shop --rates 5s', does: 'with messages per second' },
    {
      line: 'holdfast status --max-lag 60s --max-dead 0 --json',
      does: 'a health check; the store comes from HOLDFAST_STORE',
    },
  ],

  run(given) {
    const bounds = readBounds(given)
    const ratesOver = textValue(given, 'rates')
    const overMs = ratesOver === undefined ? undefined : parseAge('rates', ratesOver)
    if (overMs !== undefined && (overMs < 100 || overMs > 600_000)) {
      throw usageError('--rates must be from 100ms to 10m')
    }
    return withStore(given, async ({ store, label }) => {
      const rates = overMs === undefined ? undefined : await measureRates(store, overMs)
      const found = await readStatus(store)
      // What is gone reads like a part that nobody uses, and would look as if nothing waited in it.
      const losses = await readLosses(store, allTables, await readRevisions(store, allTables))
      const problems = [...losses.map(printLoss), ...passedBounds(found, bounds)]
      return {
        exitCode: problems.length > 0 ? EXIT.problem : EXIT.ok,
        text: `${label}\n\n${printStatus(found, rates)}${problems.map((text) => `\n${text}\n`).join('')}`,
        data: { store: label, ...found, ...(rates && { rates }), ok: problems.length === 0, problems },
      }
    })
  },
}

interface Bounds {
  readonly lagMaxMs: number | undefined
  readonly deadMax: number | undefined
  readonly stuckMax: number | undefined
}

const COUNT = { min: 0, max: Number.MAX_SAFE_INTEGER }

function readBounds(given: Given): Bounds {
  const lag = textValue(given, 'max-lag')
  return {
    lagMaxMs: lag === undefined ? undefined : parseAge('max-lag', lag),
    deadMax: wholeNumber(given, 'max-dead', COUNT),
    stuckMax: wholeNumber(given, 'max-stuck', COUNT),
  }
}

/** The lag of a group of the queue counts like that of an outbox: either way somebody waits. Pure. */
export function passedBounds(found: Status, { lagMaxMs, deadMax, stuckMax }: Bounds): string[] {
  const lags = [
    ...found.outboxes.map((o) => [`the outbox "${o.name}"`, o.oldestAgeMs] as const),
    ...found.queueGroups.map((g) => [`the group "${g.group}" of topic "${g.topic}"`, g.oldestAgeMs] as const),
  ]
  const stuck = found.sagas?.stuck ?? 0
  const dead = found.deadLetters.reduce((sum, d) => sum + d.count, 0)
  return [
    ...lags
      .filter(([, ageMs]) => lagMaxMs !== undefined && ageMs > lagMaxMs)
      .map(([what, ageMs]) => `${what} lags by ${printAge(ageMs)}`),
    ...(deadMax !== undefined && dead > deadMax ? [`there are ${dead} dead letters`] : []),
    ...(stuckMax !== undefined && stuck > stuckMax
      ? [stuck === 1 ? '1 saga is stuck' : `${stuck} sagas are stuck`]
      : []),
  ]
}
