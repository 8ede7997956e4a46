import { createHash, randomBytes, randomUUID } from 'node:crypto'

/** Names of prepared transactions: `holdfast:<log>:<transaction>:<participant>`. Pure, but for the random ids. */
export interface Gid {
  readonly log: string
  readonly id: string
  readonly participant: string
}

const GID = /^holdfast:([0-9a-f]{16}):([0-9a-f]{24}):([\w.-]{1,100})$/

export const PARTICIPANT_NAME = /^[\w.-]{1,100}$/

export function formatGid({ log, id, participant }: Gid): string {
  return `holdfast:${log}:${id}:${participant}`
}

/** Undefined for every name that is not exactly ours. */
export function parseGid(text: string): Gid | undefined {
  const [, log, id, participant] = GID.exec(text) ?? []
  if (log === undefined || id === undefined || participant === undefined) return undefined
  return { log, id, participant }
}

/** What the names of one log begin with. */
export function gidPrefix(log: string): string {
  return `holdfast:${log}:`
}

export function newLogId(): string {
  return randomBytes(8).toString('hex')
}

/** Random; the attempts of one thing have their first half in common, by which `attemptsPrefix` finds them. */
export function newTransactionId(attemptOf?: string): string {
  // Node makes UUIDs from a store of random bytes, where randomBytes asks the system each time.
  const digits = randomUUID().replaceAll('-', '')
  return attemptOf === undefined ? digits.slice(8) : family(attemptOf) + digits.slice(20)
}

/** What the names of one log and one thing's attempts begin with. Others may share it: 1 in 2^48. */
export function attemptsPrefix(log: string, attemptOf: string): string {
  return gidPrefix(log) + family(attemptOf)
}

function family(attemptOf: string): string {
  return createHash('sha256').update(attemptOf).digest('hex').slice(0, 12)
}
