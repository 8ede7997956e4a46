/**
 * Random saga programs. A program is data, made from a seed; `toSaga` makes a saga of it whose every step has its effect
 * in a participant's table that the audit reads. What a program should leave behind follows from the program alone, up
 * to where it was cancelled, so the audit does not ask the saga.
 */
import { type OwnTransaction, type Store, sql } from 'holdfast'
import { StepRefusedError } from 'holdfast/participant'
import { type ForwardContext, type Saga, type SagaContext, saga } from 'holdfast/saga'
import { seededRandom } from 'holdfast/testing'
import type { TwoPhase } from 'holdfast/two-phase'

export type Node =
  | {
      /** `both`: one transaction over both stores. */
      readonly kind: 'local' | 'own' | 'other' | 'both'
      readonly name: string
      readonly fails: 'never' | 'once' | 'refused'
    }
  | { readonly kind: 'tcc'; readonly name: string }
  | { readonly kind: 'sleep'; readonly name: string; readonly ms: number }
  | { readonly kind: 'receive'; readonly name: string }
  | { readonly kind: 'pivot'; readonly name: string }
  | { readonly kind: 'all'; readonly name: string; readonly branches: readonly (readonly Node[])[] }

export interface Program {
  readonly seed: number
  readonly nodes: readonly Node[]
  /** Throws at the end of its code, when it is not past a pivot. */
  readonly throws: boolean
}

/** Where programs run. `twoPhase` is missing where one of the stores could not take part. */
export interface ProgramStores {
  readonly own: Store
  readonly other: Store
  readonly twoPhase: TwoPhase | undefined
}

/** `twoPhase` says whether it has steps over both stores. */
export function makeProgram(seed: number, { twoPhase }: { readonly twoPhase: boolean }): Program {
  const kinds = ['local', 'own', 'other', ...(twoPhase ? (['both'] as const) : [])] as const
  const random = seededRandom(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  let count = 0
  let pivoted = false
  const step = (): Node => {
    const name = `s${++count}`
    const fails = pivoted
      ? pick(['never', 'never', 'once'] as const)
      : pick(['never', 'never', 'never', 'once', 'refused'] as const)
    return { kind: pick(kinds), name, fails }
  }
  const nodes: Node[] = []
  const length = 1 + Math.floor(random() * 5)
  for (let i = 0; i < length; i++) {
    const dice = random()
    if (dice < 0.6) nodes.push(step())
    else if (dice < 0.68) nodes.push({ kind: 'sleep', name: `w${++count}`, ms: Math.floor(random() * 15) })
    else if (dice < 0.76) nodes.push({ kind: 'receive', name: `r${++count}` })
    else if (dice < 0.84 && !pivoted) nodes.push({ kind: 'tcc', name: `t${++count}` })
    else if (dice < 0.9 && !pivoted) {
      nodes.push({ kind: 'pivot', name: `p${++count}` })
      pivoted = true
    } else {
      const branches = Array.from({ length: 2 }, () =>
        Array.from({ length: 1 + Math.floor(random() * 2) }, step),
      )
      nodes.push({ kind: 'all', name: `b${++count}`, branches })
    }
  }
  return { seed, nodes, throws: !pivoted && random() < 0.2 }
}

export const idOf = (program: Program): string => `program-${program.seed}`

/** Every name that a program waits for. */
export function signalsOf(program: Program): string[] {
  return program.nodes.flatMap((node) => (node.kind === 'receive' ? [node.name] : []))
}

export function note(tx: OwnTransaction, id: string, what: string) {
  return tx.execute(sql`insert into effects (saga, what) values (${id}, ${what})`)
}

/**
 * A participant outside of any store: what a step did is one line under its key, which a repetition finds. So a step that
 * runs twice under one key has one effect, and one that ran under two keys would have two.
 */
async function external(store: Store, id: string, key: string, what: string): Promise<void> {
  await store.transaction(async (tx) => {
    const inserted = await tx.execute(
      sql`insert into calls (call_key) values (${key}) on conflict (call_key) do nothing`,
    )
    if (inserted === 1) await note(tx, id, what)
  })
}

const quick = { attemptsMax: 50, baseMs: 1, capMs: 5 }

/** A row that every step over both stores changes: what is prepared and left keeps the others of its saga waiting. */
async function noteInBoth([own, other]: readonly OwnTransaction[], id: string, what: string): Promise<void> {
  for (const [tx, text] of [
    [own, what],
    [other, `${what} in the other`],
  ] as const) {
    await tx?.execute(sql`insert into tally (saga, n) values (${id}, 1)
      on conflict (saga) do update set n = tally.n + 1`)
    await note(tx as OwnTransaction, id, text)
  }
}

export function toSaga(stores: ProgramStores): Saga<number, string> {
  return saga<number, string>('program', async (s, seed) => {
    const program = makeProgram(seed, { twoPhase: stores.twoPhase !== undefined })
    let at: SagaContext = s
    for (const node of program.nodes) {
      const next = await runNode(at, node, stores)
      if (next !== undefined) at = next as unknown as SagaContext
    }
    if (program.throws) throw new Error('the program throws')
    return 'done'
  })
}

async function runNode(
  s: SagaContext,
  node: Node,
  stores: ProgramStores,
): Promise<ForwardContext | undefined> {
  const id = s.sagaId
  switch (node.kind) {
    case 'sleep':
      await s.sleep(node.name, node.ms)
      return undefined
    case 'receive':
      await s.receive(node.name)
      return undefined
    case 'pivot':
      return s.pivot(node.name, ({ key }) => external(stores.other, id, key, `do ${node.name}`), {
        retry: quick,
      })
    case 'tcc':
      await s.tcc(node.name, {
        try: ({ key }) => external(stores.other, id, key, `try ${node.name}`),
        confirm: ({ key }) => external(stores.other, id, key, `confirm ${node.name}`),
        cancel: ({ key }) => external(stores.other, id, key, `cancel ${node.name}`),
        retry: quick,
      })
      return undefined
    case 'all':
      await s.all(
        node.name,
        Object.fromEntries(
          node.branches.map((branch, i) => [
            `b${i}`,
            async (b: SagaContext) => {
              for (const inner of branch) await runNode(b, inner, stores)
            },
          ]),
        ),
      )
      return undefined
    default: {
      const { name, fails } = node
      const misbehave = (attempt: number): void => {
        if (fails === 'refused') throw new StepRefusedError('no')
        if (fails === 'once' && attempt === 1) throw new Error('once')
      }
      if (node.kind === 'local') {
        await s.step(
          name,
          async ({ key, attempt }) => {
            misbehave(attempt)
            await external(stores.other, id, key, `do ${name}`)
          },
          {
            retry: quick,
            undo: ({ key }) => external(stores.other, id, key, `undo ${name}`),
            undoRetry: quick,
          },
        )
        return undefined
      }
      if (node.kind === 'both') {
        await s.twoPhase(
          name,
          stores.twoPhase as TwoPhase,
          [stores.own, stores.other],
          async (txs, { attempt }) => {
            misbehave(attempt)
            await noteInBoth(txs, id, `do ${name}`)
          },
          { retry: quick, undo: (txs) => noteInBoth(txs, id, `undo ${name}`), undoRetry: quick },
        )
        return undefined
      }
      await s.transaction(
        name,
        node.kind === 'own' ? stores.own : stores.other,
        async (tx, { attempt }) => {
          misbehave(attempt)
          await note(tx, id, `do ${name}`)
        },
        { retry: quick, undo: (tx) => note(tx, id, `undo ${name}`), undoRetry: quick },
      )
      return undefined
    }
  }
}
