/** Judges what programs left behind, from the program and the participants' tables alone. */
import type { Node, Program } from './program.ts'

/**
 * What is wrong with the effects of one ended program; empty when nothing is.
 *
 * Each effect once. Completed: every step done, every try confirmed, nothing undone or cancelled. Failed or cancelled:
 * whatever was done was undone, nothing is confirmed and no pivot was passed, nothing was undone that was not done
 * unless its outcome could be unknown (a local step), and nothing stands behind a step that was refused. What a step over
 * both stores did in one it did in the other, whatever became of the saga.
 */
export function judge(program: Program, state: string, effects: readonly string[]): string[] {
  const problems: string[] = []
  const counts = new Map<string, number>()
  for (const effect of effects) counts.set(effect, (counts.get(effect) ?? 0) + 1)
  for (const [effect, n] of counts) if (n > 1) problems.push(`"${effect}" happened ${n} times`)
  const has = (effect: string): boolean => counts.has(effect)
  const all = flat(program.nodes)
  for (const { name } of all.filter((node) => node.kind === 'both')) {
    for (const what of [`do ${name}`, `undo ${name}`]) {
      if (has(what) !== has(`${what} in the other`)) problems.push(`"${what}" stands in one store only`)
    }
  }
  const refused = all.filter((node) => 'fails' in node && node.fails === 'refused')
  if (state === 'stuck') problems.push('it is stuck')
  else if (state === 'completed') {
    if (refused.length > 0) problems.push(`it completed though ${refused[0]?.name} refuses`)
    if (program.throws) problems.push('it completed though it throws')
    for (const node of all) {
      if (isStep(node) || node.kind === 'pivot') {
        if (!has(`do ${node.name}`)) problems.push(`${node.name} was not done`)
        if (has(`undo ${node.name}`)) problems.push(`${node.name} was undone`)
      }
      if (node.kind === 'tcc') {
        if (!has(`confirm ${node.name}`)) problems.push(`${node.name} was not confirmed`)
        if (has(`cancel ${node.name}`)) problems.push(`${node.name} was cancelled`)
      }
    }
  } else if (state === 'failed' || state === 'cancelled') {
    if (state === 'failed' && refused.length === 0 && !program.throws)
      problems.push('it failed for no reason')
    for (const node of all) {
      if (isStep(node)) {
        const done = has(`do ${node.name}`)
        const undone = has(`undo ${node.name}`)
        if (done && !undone) problems.push(`${node.name} was done and not undone`)
        if (!done && undone && node.kind !== 'local') problems.push(`${node.name} was undone and not done`)
        if (done && node.fails === 'refused') problems.push(`${node.name} was done though it refuses`)
      }
      if (node.kind === 'tcc') {
        if (has(`confirm ${node.name}`)) problems.push(`${node.name} was confirmed`)
        if (has(`try ${node.name}`) && !has(`cancel ${node.name}`))
          problems.push(`${node.name} was tried and not cancelled`)
      }
      if (node.kind === 'pivot' && has(`do ${node.name}`))
        problems.push(`it went back past its pivot ${node.name}`)
    }
    const order = program.nodes
    const firstRefused = order.findIndex((node) => 'fails' in node && node.fails === 'refused')
    if (firstRefused >= 0) {
      for (const node of flat(order.slice(firstRefused + 1))) {
        if (has(`do ${node.name}`) || has(`try ${node.name}`))
          problems.push(`${node.name} was done after a refusal`)
      }
    }
  } else problems.push(`it is still ${state}`)
  return problems
}

function flat(nodes: readonly Node[]): Node[] {
  return nodes.flatMap((node) =>
    node.kind === 'all' ? node.branches.flatMap((branch) => flat(branch)) : [node],
  )
}

function isStep(node: Node): node is Extract<Node, { fails: string }> {
  return 'fails' in node
}
