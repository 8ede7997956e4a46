import { describe, expect, it } from 'vitest'
import { type Row, refsByName } from '../../src/race/generated-ids.ts'
import { SerialOracle } from '../../src/race/oracle.ts'
import { type Outcome, outcomeOf, type Tables } from '../../src/race/outcome.ts'
import { isRefusal } from '../../src/race/refusal.ts'

const tables: Tables = {
  statement: '',
  ids: [
    { name: 'orders', own: ['id'], refs: [] },
    { name: 'item', own: ['id'], refs: [{ column: 'order_id', table: 'orders' }] },
    { name: 'other', own: ['id'], refs: [] },
  ],
}
const order = (id: number, who: string): Row => ({ t: 'orders', r: { id, who } })
const item = (id: number, orderId: number, dish: string): Row => ({
  t: 'item',
  r: { id, order_id: orderId, dish },
})
const of = (after: Row[], { before = [] as Row[], values = [] as unknown[] } = {}): Outcome =>
  outcomeOf({ results: values.map((value) => ({ value })) }, after, before, tables)

describe('outcomes', () => {
  it('are the same when only the generated ids differ, references included', () => {
    const one = of([order(1, 'ann'), order(2, 'bob'), item(5, 1, 'soup'), item(6, 2, 'rice')])
    const two = of([order(9, 'bob'), order(8, 'ann'), item(2, 8, 'soup'), item(1, 9, 'rice')])
    expect(two).toEqual(one)
  })

  it('differ when a reference leads to another row', () => {
    const right = of([order(1, 'ann'), order(2, 'bob'), item(5, 1, 'soup'), item(6, 2, 'rice')])
    const swapped = of([order(1, 'ann'), order(2, 'bob'), item(5, 2, 'soup'), item(6, 1, 'rice')])
    expect(swapped.rows).not.toBe(right.rows)
  })

  it('take an id for new although another table has that number already', () => {
    const before: Row[] = [{ t: 'other', r: { id: 7 } }]
    expect(of([...before, order(7, 'ann')], { before })).toEqual(of([...before, order(3, 'ann')], { before }))
  })

  it('leave a number alone that only happens to be a new id somewhere', () => {
    const room: Row = { t: 'room', r: { id: 7, seats: 1 } }
    expect(of([room, order(7, 'ann')], { before: [room] })).toEqual(
      of([room, order(3, 'ann')], { before: [room] }),
    )
  })

  it('find references without a foreign key by their names', () => {
    expect(
      refsByName(
        ['order_id', 'category_id', 'userId', 'id', 'paid', 'note'],
        ['public.orders', 'public.categories', 'public."User"'],
      ),
    ).toEqual([
      { column: 'order_id', table: 'public.orders' },
      { column: 'category_id', table: 'public.categories' },
      { column: 'userId', table: 'public."User"' },
    ])
  })

  it('keep the ids of rows that the set-up made', () => {
    const before = [order(1, 'ann')]
    expect(of([order(1, 'ann')], { before }).rows).toContain('"id":1')
    expect(of([order(1, 'bob')], { before }).rows).not.toBe(of([order(1, 'ann')], { before }).rows)
  })

  it('rename returned ids as the rows, so that the wrong one is seen', () => {
    const rows = [order(1, 'ann'), order(2, 'bob')]
    const renumbered = [order(4, 'bob'), order(5, 'ann')]
    const right = of(rows, { values: [{ id: 1 }, { id: 2 }] }).values
    expect(of(renumbered, { values: [{ id: 5 }, { id: 4 }] }).values).toEqual(right)
    expect(of(rows, { values: [{ id: 2 }, { id: 1 }] }).values).not.toEqual(right)
  })

  it('mask instants near now, and no others', () => {
    const at = (made_at: string): string => of([{ t: 'other', r: { id: 1, made_at } }]).rows
    const now = new Date().toISOString()
    expect(at(now)).toBe(at(new Date(Date.now() - 5_000).toISOString()))
    expect(at('2001-01-01T00:00:00Z')).not.toBe(at(now))
  })
})

describe('the serial oracle', () => {
  const outcome = (rows: string, errors: (string | undefined)[] = [undefined, undefined]): Outcome => ({
    rows,
    values: errors.map((error) => (error === undefined ? 'null' : undefined)),
    errors,
  })
  const serial: Record<string, Outcome> = {
    '0,1': outcome('both'),
    '1,0': outcome('both', [undefined, 'Error: not enough money']),
    '0': { rows: 'first', values: ['null', 'undefined'], errors: [undefined, undefined] },
    '1': { rows: 'second', values: ['undefined', 'null'], errors: [undefined, undefined] },
  }
  const oracle = (refused?: (error: unknown) => boolean) =>
    new SerialOracle({
      names: ['ann', 'bob'],
      runSerially: async (at) => serial[at.join()] as Outcome,
      refused,
    })
  const bobFails = (error: unknown) => ({ results: [{ value: null }, { error }] })
  const text = (error: Error) => `${error.name}: ${error.message}`

  it('lets pass what a serial order does', async () => {
    expect(await oracle().whyNot({ results: [] }, outcome('both'))).toBeUndefined()
    expect(await oracle().whyNot({ results: [] }, outcome('none'))).toMatch(/no serial order/)
  })

  it('lets pass a refusal that left nothing, and no refusal that left something', async () => {
    const error = Object.assign(new Error('could not serialize'), { code: '40001' })
    const refusal = (rows: string) => outcome(rows, [undefined, text(error)])
    expect(await oracle().whyNot(bobFails(error), refusal('first'))).toBeUndefined()
    expect(await oracle().whyNot(bobFails(error), refusal('both'))).toMatch(/of the tasks that succeeded/)
  })

  it('lets pass an error of the code that some serial order has, if it left nothing', async () => {
    const error = new Error('not enough money')
    const why = await oracle().whyNot(bobFails(error), outcome('first', [undefined, text(error)]))
    expect(why).toBeUndefined()
  })

  it('reports an error that no serial order has, unless the user calls it a refusal', async () => {
    const error = new Error('version changed')
    const seen = outcome('first', [undefined, text(error)])
    expect(await oracle().whyNot(bobFails(error), seen)).toMatch(
      /task bob failed with "Error: version changed"/,
    )
    expect(await oracle((e) => e === error).whyNot(bobFails(error), seen)).toBeUndefined()
  })
})

describe('refusals', () => {
  const error = (fields: object) => Object.assign(new Error('x'), fields)
  it.each([
    ['a serialization failure', error({ code: '40001' }), true],
    ['NOWAIT', error({ code: '55P03' }), true],
    ['a unique key', error({ code: '23505' }), true],
    ['one inside of a library’s error', error({ cause: error({ code: '40001' }) }), true],
    ['one that TypeORM wraps', error({ driverError: error({ code: '23505' }) }), true],
    ['a version conflict of Holdfast', error({ code: 'VERSION_CONFLICT', outcome: 'not-applied' }), true],
    ['a deadlock', error({ code: '40P01' }), false],
    ['a deadlock of Holdfast', error({ code: 'DEADLOCK', outcome: 'not-applied' }), false],
    ['a check constraint', error({ code: '23514' }), false],
    ['an error of the code', error({}), false],
    ['nothing', undefined, false],
  ])('%s', (_, given, is) => {
    expect(isRefusal(given)).toBe(is)
  })
})
