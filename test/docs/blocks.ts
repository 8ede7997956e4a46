/** The code blocks of a page that a reader follows. */
export interface Block {
  /** What stands behind the fence: the language, and how the block is meant. */
  readonly info: string
  readonly text: string
  /** The last name in backquotes before the block that ends in .ts. */
  readonly file: string | undefined
}

export function readBlocks(markdown: string): Block[] {
  const blocks: Block[] = []
  let file: string | undefined
  let open: { info: string; lines: string[] } | undefined
  for (const line of markdown.split('\n')) {
    const fence = /^```(.*)$/.exec(line)
    if (open === undefined && fence !== null) open = { info: fence[1] ?? '', lines: [] }
    else if (open !== undefined && fence !== null) {
      blocks.push({ info: open.info, text: open.lines.join('\n'), file })
      open = undefined
    } else if (open !== undefined) open.lines.push(line)
    else file = [...line.matchAll(/`([\w.-]+\.ts)`/g)].at(-1)?.[1] ?? file
  }
  return blocks
}
