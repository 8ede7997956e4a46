import { checkArguments, hasMethods, isList, isObject, isText } from '../core/options.ts'
/** What one member of a group sees: who is alive, and who holds what. Read in one statement, so all of one moment. */
export interface ShareView {
  readonly me: string
  /** The live members, `me` included. */
  readonly members: readonly string[]
  /** Everything that is to be shared out. */
  readonly names: readonly string[]
  /** The holder of each name whose lease runs; a name that is missing is free. */
  readonly holders: ReadonlyMap<string, string>
  /** What `me` holds and is already giving up. */
  readonly leaving: ReadonlySet<string>
}

export interface ShareStep {
  readonly take: readonly string[]
  readonly giveUp: readonly string[]
  /** True when `me` is owed more than it can take now: another member still has to give up. */
  readonly waiting: boolean
}

/**
 * Decides what one member takes and gives up so that the names end up shared fairly: nobody holds two more than another.
 * No clock, no I/O.
 *
 * Every member decides alone. Those with the same view come to one plan: members in order of their names, free names in
 * order, each free name meant for one member, and a surplus given up only if somebody is short of it. Members with
 * different views may both want a name, which the lease decides, or give up too much, which the next step mends.
 * What is in balance is left alone.
 */
export function nextShare(view: ShareView): ShareStep {
  checkArguments('nextShare', isObject('view', view))
  const { me, members, names, holders, leaving } = view
  checkArguments(
    'nextShare',
    isText('me', me),
    isList('members', members),
    isList('names', names),
    hasMethods('holders', holders, 'a Map', 'get', 'has'),
    hasMethods('leaving', leaving, 'a Set', 'has'),
  )
  const order = [...new Set(members)].sort()
  const free = names.filter((name) => !holders.has(name)).sort()
  const mine = names.filter((name) => holders.get(name) === me && !leaving.has(name)).sort()
  const held = new Map(order.map((member) => [member, 0]))
  for (const name of names) {
    const holder = holders.get(name)
    if (holder === undefined || leaving.has(name)) continue
    const count = held.get(holder)
    if (count !== undefined) held.set(holder, count + 1)
  }
  const least = Math.floor(names.length / order.length)
  const most = Math.ceil(names.length / order.length)
  const count = (member: string): number => held.get(member) as number
  const add = (member: string, n: number): void => void held.set(member, count(member) + n)

  const take: string[] = []
  const give = (member: string, wanted: number): void => {
    const given = free.splice(0, Math.max(0, wanted))
    add(member, given.length)
    if (member === me) take.push(...given)
  }
  for (const member of order) give(member, least - count(member))
  for (const member of order) give(member, most - count(member))

  // Who is above `most` gives up; if that does not feed those below `least`, members at `most` give up one each.
  const before = mine.length + take.length
  let short = order.reduce((sum, member) => sum + Math.max(0, least - count(member)), 0) - leaving.size
  for (const member of order) {
    const surplus = Math.max(0, count(member) - most)
    add(member, -surplus)
    short -= surplus
  }
  for (const member of order) {
    if (short <= 0 || count(member) !== most || most === least) continue
    add(member, -1)
    short -= 1
  }
  const surplus = before - count(me)
  return { take, giveUp: mine.slice(mine.length - surplus), waiting: count(me) < least }
}
