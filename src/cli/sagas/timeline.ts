import type { Entry } from '../../saga/entry.ts'
import type { SagaDetails } from '../../saga/operations.ts'
import { printAge } from '../age.ts'
import { alignColumns } from '../text-table.ts'
import { oneLine } from './one-line.ts'

/** What each kind of entry is drawn with. */
const MARKS: Readonly<Record<string, string>> = {
  step: '✓',
  failed: '✗',
  attempt: '·',
  undoing: '↩',
  undone: '↩',
  confirmed: '✓',
  pivot: '▲',
  timer: '⏲',
  signal: '✉',
  timeout: '⏲',
  sent: '→',
  child: '⤷',
  race: '⚑',
  patch: '✎',
  stuck: '■',
  retried: '↻',
  skipped: '»',
  interrupted: '⚡',
}

/** Steps, attempts, waits and undo, one line each, with the time since the start. Pure. */
export function drawTimeline(saga: SagaDetails): string {
  const head = alignColumns([
    ['saga', saga.name],
    ['id', saga.id],
    ['state', `${saga.state}${saga.cancelRequested && saga.endedAtMs === null ? ' (asked to go back)' : ''}`],
    ['started', new Date(saga.startedAtMs).toISOString()],
    ...(saga.endedAtMs === null ? [] : [['ended', `${new Date(saga.endedAtMs).toISOString()}`]]),
    ...(saga.parentId === null ? [] : [['child of', saga.parentId]]),
    ['input', oneLine(saga.input ?? '-')],
    ...(saga.output === null ? [] : [['output', oneLine(saga.output)]]),
    ['why', saga.why],
  ])
  const lines = saga.entries.map((entry) => [
    `+${printAge(Math.max(0, entry.atMs - saga.startedAtMs))}`,
    MARKS[entry.kind] ?? '?',
    `${'  '.repeat(Math.max(0, entry.step.split('/').length - 1))}${describeEntry(entry)}`,
  ])
  const waiting = saga.signals.filter((s) => !s.received).map((s) => `not received yet: signal "${s.name}"`)
  return `${head.join('\n')}\n\n${lines.length === 0 ? 'nothing has happened yet' : alignColumns(lines, [0]).join('\n')}\n${waiting.map((w) => `${w}\n`).join('')}`
}

function describeEntry({ kind, step, data }: Entry): string {
  const at = step.slice(step.lastIndexOf('/') + 1)
  const value = data === null ? undefined : (JSON.parse(data) as Record<string, never>)
  const error = (value as { error?: { message?: string } } | undefined)?.error?.message
  switch (kind) {
    case 'step':
      return `${at}${data === null ? '' : ` → ${oneLine(data)}`}`
    case 'failed':
      return `${at} failed: ${oneLine(error ?? '')}${value?.unknown ? ' (outcome unknown)' : ''}`
    case 'attempt':
      return `${at}: a try failed: ${oneLine(error ?? '')}`
    case 'undoing':
      return `goes back: ${oneLine((value as { cause?: { error?: { message?: string } } } | undefined)?.cause?.error?.message ?? '')}`
    case 'undone':
      return `${at} undone`
    case 'timer':
      return `${at}: waits until ${new Date((value as { untilMs?: number } | undefined)?.untilMs ?? 0).toISOString()}`
    case 'signal':
      return `${at}: received ${oneLine(data ?? '')}`
    case 'timeout':
      return `${at}: did not come in time`
    case 'stuck':
      return `stuck${at === '' ? '' : ` at ${at}`}: ${oneLine(error ?? '')}`
    case 'interrupted':
      return 'its process went away; taken up again'
    case 'race':
      return `${at}: won by ${data}`
    default:
      return `${at} ${kind}`.trim()
  }
}
