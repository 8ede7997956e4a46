/**
 * What the sites hold in the end, against what was committed at each. It knows of no vectors and no merge: a version was
 * replaced if a committed operation had it before its eyes, and else it must stand, or be in a conflict log.
 */
import type { CollectionName, Entry, Reading, SiteName } from './operations.ts'

export interface SiteDump {
  readonly site: SiteName
  readonly readings: readonly Reading[]
  readonly entries: readonly Entry[]
  /** Versions that lost in a conflict that is written down. */
  readonly inConflicts: readonly string[]
}

export interface Answer {
  readonly id: string
  readonly site: SiteName
  readonly confirmed: boolean
}

export const ANOMALIES = [
  ['diverged', 'records that the sites read differently'],
  ['lost', 'writes lost without a trace'],
  ['confirmedAndLost', 'confirmed by two sites and lost'],
  ['cameBack', 'replaced or deleted, and came back'],
  ['miscounted', 'counters that are wrong'],
  ['forgotten', 'answered and not committed'],
] as const

export type AnomalyKind = (typeof ANOMALIES)[number][0]
export type Anomalies = Record<AnomalyKind, number>

export interface Audit {
  readonly anomalies: Anomalies
  readonly findings: readonly string[]
}

export function audit(dumps: readonly SiteDump[], answers: readonly Answer[]): Audit {
  const anomalies = Object.fromEntries(ANOMALIES.map(([kind]) => [kind, 0])) as Anomalies
  const findings: string[] = []
  const find = (kind: AnomalyKind, text: string): void => {
    anomalies[kind] += 1
    findings.push(text)
  }
  const entries = dumps.flatMap((dump) => dump.entries)
  const committed = new Set(entries.map(({ id }) => id))
  const confirmed = new Set(answers.filter((answer) => answer.confirmed).map(({ id }) => id))
  const inConflicts = new Set(dumps.flatMap((dump) => dump.inConflicts))

  for (const { id, site } of answers) {
    if (!committed.has(id)) find('forgotten', `${id} was answered at ${site}, whose store does not have it`)
  }
  for (const record of recordsOf(entries)) {
    const readings = dumps.map((dump) => ({ site: dump.site, ...readingOf(dump, record) }))
    const texts = new Set(readings.map(({ versions, total }) => `${[...versions].sort().join(' ')} ${total}`))
    if (texts.size > 1) {
      const sides = readings.map(({ site, versions, total }) => `${site} ${versions.join('+') || total}`)
      find('diverged', `${record.key}: ${sides.join(', ')}`)
    }
    const own = entries.filter(({ key }) => key === record.key)
    if (record.collection === 'likes') {
      for (const { site, total } of readings) {
        if (total !== own.length)
          find('miscounted', `${record.key}: ${site} counts ${total} of ${own.length}`)
      }
      continue
    }
    const replaced = new Set(own.flatMap(({ saw }) => saw))
    const standing = new Set(readings.flatMap(({ versions }) => versions))
    for (const { id, site, wrote, kind } of own) {
      if (replaced.has(wrote) && standing.has(wrote)) {
        find('cameBack', `${record.key}: ${wrote} stands, and was replaced by somebody who had seen it`)
      }
      // A deletion that stands leaves nothing to be seen.
      if (kind === 'delete' || replaced.has(wrote) || standing.has(wrote) || inConflicts.has(wrote)) continue
      find('lost', `${record.key}: ${wrote}, written at ${site}, is nowhere, and nobody had seen it`)
      if (confirmed.has(id))
        find('confirmedAndLost', `${record.key}: ${wrote} had been confirmed by two sites`)
    }
  }
  return { anomalies, findings }
}

interface RecordName {
  readonly collection: CollectionName
  readonly key: string
}

function recordsOf(entries: readonly Entry[]): RecordName[] {
  return [...new Map(entries.map(({ collection, key }) => [key, { collection, key }])).values()]
}

function readingOf({ readings }: SiteDump, { key }: RecordName): Pick<Reading, 'versions' | 'total'> {
  return readings.find((reading) => reading.key === key) ?? { versions: [], total: 0 }
}
