import { canonical } from '../../core/canonical.ts'
import { checkArguments, checkOptions, isBoolean, isObject } from '../../core/options.ts'
import { UnknownOperationError } from '../linearizability/errors.ts'
import { areEvents, type HistoryEvent, isClient } from '../operation.ts'
import { show } from '../show.ts'
import { MalformedHistoryError } from '../transactions/malformed.ts'
import type { Anomaly, InvolvedOperation, Verdict } from '../verdict.ts'

export interface CheckDeliveryOptions {
  /** True accepts a message that is delivered more than once, as brokers promise and consumers must bear. Default false. */
  readonly allowDuplicates?: boolean
  /** True when time is up. */
  readonly expired?: () => boolean
}

const DELIVERY = { name: 'delivery', operations: ['publish', 'deliver'] }
const EXAMPLES_MAX = 16

interface Message {
  readonly name: string
  readonly key: string | undefined
  status: 'ok' | 'info' | 'fail'
  readonly sentAt: number
  /** Position of the answer; `Infinity` when there was none. */
  answeredAt: number
  readonly sent: HistoryEvent
}

interface Delivery {
  readonly event: HistoryEvent
  readonly at: number
}

/**
 * What became of messages: `publish` (value: the message's id; `key`: what its order is kept by) and `deliver` (value: the
 * id; `group`: who consumed it, where several do). A publish has an invocation and an answer, or an `ok` alone. Finds
 *
 * - `lost`: the publish was answered `ok`, and some group never got the message;
 * - `duplicated`: a group got it twice, unless that is allowed;
 * - `reordered`: of one key, a publish had been answered before the other was sent, and a group got the second first
 *   (first deliveries count);
 * - `phantom`: delivered, and never published or published without success.
 *
 * A delivery without an answer (`info`) may have happened: a message that has no other is `unknown`, not lost.
 * @throws MalformedHistoryError when an event has no id, or two messages have the same
 */
export function checkDelivery(events: readonly HistoryEvent[], options: CheckDeliveryOptions = {}): Verdict {
  checkArguments('checkDelivery', areEvents(events), isObject('options', options))
  const { allowDuplicates } = options
  checkOptions(
    'checkDelivery',
    options,
    ['allowDuplicates', 'expired'],
    [allowDuplicates === undefined || isBoolean('allowDuplicates', allowDuplicates)],
  )
  const started = performance.now()
  const { messages, groups, operations } = read(events)
  const anomalies: Anomaly[] = []
  const counts = new Map<string, number>()
  let doubtful = 0
  const add = (type: string, explanation: string, involved: readonly InvolvedOperation[]): void => {
    const count = (counts.get(type) ?? 0) + 1
    counts.set(type, count)
    if (count <= EXAMPLES_MAX) anomalies.push({ type, explanation, operations: involved })
  }
  for (const [group, deliveries] of groups) {
    const of = group === '' ? '' : ` by ${group}`
    for (const [id, list] of deliveries.sure) {
      const message = messages.get(id)
      const first = list[0] as Delivery
      if (message === undefined || message.status === 'fail') {
        const why = message === undefined ? 'nobody published' : 'whose publish failed'
        add('phantom', `Message ${show(first.event.value)} was delivered${of}, ${why} it.`, [
          delivered(first),
          ...(message === undefined ? [] : [published(message)]),
        ])
      } else if (first.at < message.sentAt) {
        add('phantom', `Message ${message.name} was delivered${of} before it was published.`, [
          delivered(first),
          published(message),
        ])
      }
      if (list.length > 1 && options.allowDuplicates !== true) {
        add('duplicated', `Message ${show(first.event.value)} was delivered${of} ${list.length} times.`, [
          ...(message === undefined ? [] : [published(message)]),
          ...list.slice(0, 4).map(delivered),
        ])
      }
    }
    for (const [id, message] of messages) {
      if (message.status !== 'ok' || deliveries.sure.has(id)) continue
      if (deliveries.doubtful.has(id)) doubtful++
      else
        add('lost', `Message ${message.name} was published and never delivered${of}.`, [published(message)])
    }
    for (const [a, b] of reordered(messages, deliveries.sure)) {
      const [first, second] = [messages.get(a) as Message, messages.get(b) as Message]
      add(
        'reordered',
        `Of key ${first.key}, message ${first.name} was published before ${second.name} was sent, and ${second.name} was delivered${of} first.`,
        [
          published(first),
          published(second),
          ...[b, a].map((id) => delivered((deliveries.sure.get(id) as Delivery[])[0] as Delivery)),
        ],
      )
    }
  }
  const more = [...counts].filter(([, n]) => n > EXAMPLES_MAX).map(([type, n]) => `${n} ${type}`)
  const verdict = anomalies.length > 0 ? 'invalid' : doubtful > 0 || messages.size === 0 ? 'unknown' : 'valid'
  const reason =
    verdict === 'unknown'
      ? messages.size === 0
        ? 'no message was published'
        : `${doubtful} messages have only deliveries without an answer`
      : more.length > 0
        ? `the first ${EXAMPLES_MAX} of each kind are listed: ${more.join(', ')}`
        : undefined
  return {
    verdict,
    model: 'delivery',
    operations,
    anomalies,
    ...(reason === undefined ? {} : { reason }),
    seconds: (performance.now() - started) / 1000,
  }
}

interface Deliveries {
  readonly sure: Map<string, Delivery[]>
  readonly doubtful: Set<string>
}

function read(events: readonly HistoryEvent[]): {
  messages: Map<string, Message>
  groups: Map<string, Deliveries>
  operations: number
} {
  const messages = new Map<string, Message>()
  const groups = new Map<string, Deliveries>()
  const sending = new Map<string, Message>()
  let operations = 0
  events.forEach((event, at) => {
    if (!isClient(event.process)) return
    if (event.f !== 'publish' && event.f !== 'deliver') {
      throw new UnknownOperationError(event.f, DELIVERY, event.line ?? at)
    }
    if (event.type === 'invoke' && event.f === 'deliver') return
    const where = `${event.process} ${event.f}`
    if (event.f === 'publish') {
      const under = sending.get(where)
      if (event.type === 'invoke') {
        if (under !== undefined) {
          const problem = `process ${event.process} publishes before the publish of ${under.name} has ended`
          throw malformed(event, at, problem)
        }
      } else if (under !== undefined) {
        const said = event.value ?? under.sent.value
        if (canonical(said) !== canonical(under.sent.value)) {
          const problem = `process ${event.process} ends the publish of ${show(said)}, but it had begun that of ${under.name}`
          throw malformed(event, at, problem)
        }
        sending.delete(where)
        under.status = event.type
        if (event.type === 'ok') under.answeredAt = at
        return
      }
    }
    if (event.value === undefined || event.value === null) {
      throw malformed(event, at, `${event.f} has no value, which is the id of the message`)
    }
    operations++
    const id = canonical(event.value)
    if (event.f === 'publish') {
      if (messages.has(id)) throw malformed(event, at, `message ${show(event.value)} is published twice`)
      const message: Message = {
        name: show(event.value),
        key: event.key === undefined || event.key === null ? undefined : show(event.key),
        status: event.type === 'invoke' ? 'info' : event.type,
        sentAt: at,
        answeredAt: event.type === 'ok' ? at : Number.POSITIVE_INFINITY,
        sent: event,
      }
      messages.set(id, message)
      if (event.type === 'invoke') sending.set(where, message)
      return
    }
    const group = event.group ?? ''
    let deliveries = groups.get(group)
    if (deliveries === undefined) {
      deliveries = { sure: new Map(), doubtful: new Set() }
      groups.set(group, deliveries)
    }
    if (event.type === 'info') deliveries.doubtful.add(id)
    if (event.type !== 'ok') return
    const list = deliveries.sure.get(id)
    if (list === undefined) deliveries.sure.set(id, [{ event, at }])
    else list.push({ event, at })
  })
  if (groups.size === 0) groups.set('', { sure: new Map(), doubtful: new Set() })
  return { messages, groups, operations }
}

/** Pairs of one key whose order of publishing is sure and whose order of first delivery is the other way round. */
function reordered(
  messages: ReadonlyMap<string, Message>,
  sure: ReadonlyMap<string, readonly Delivery[]>,
): [string, string][] {
  const byKey = new Map<string, { id: string; message: Message; at: number }[]>()
  for (const [id, list] of sure) {
    const message = messages.get(id)
    if (message?.key === undefined) continue
    const entry = { id, message, at: (list[0] as Delivery).at }
    const entries = byKey.get(message.key)
    if (entries === undefined) byKey.set(message.key, [entry])
    else entries.push(entry)
  }
  const pairs: [string, string][] = []
  for (const entries of byKey.values()) {
    // In the order of delivery: whoever was sent last of those delivered so far must not have been sent after this one's answer.
    entries.sort((a, b) => a.at - b.at)
    let latest = entries[0] as (typeof entries)[number]
    for (const entry of entries) {
      if (entry.message.answeredAt < latest.message.sentAt) pairs.push([entry.id, latest.id])
      if (entry.message.sentAt > latest.message.sentAt) latest = entry
    }
  }
  return pairs
}

function published(message: Message): InvolvedOperation {
  const { status, sent, sentAt, answeredAt, name, key } = message
  return {
    name: placeOf(sent, sentAt),
    session: String(sent.process),
    status,
    operations: [`publish ${name}${key === undefined ? '' : ` (key ${key})`}`],
    invokedAt: sentAt,
    ...(Number.isFinite(answeredAt) ? { completedAt: answeredAt } : {}),
  }
}

function delivered({ event, at }: Delivery): InvolvedOperation {
  return {
    name: placeOf(event, at),
    session: String(event.process),
    status: 'ok',
    operations: [`deliver ${show(event.value)}`],
    invokedAt: at,
    completedAt: at,
  }
}

function placeOf(event: HistoryEvent, at: number): string {
  return event.line === undefined ? `operation ${at}` : `line ${event.line}`
}

function malformed(event: HistoryEvent, at: number, problem: string): MalformedHistoryError {
  return event.line === undefined
    ? new MalformedHistoryError(at, problem, 'operation')
    : new MalformedHistoryError(event.line, problem)
}
