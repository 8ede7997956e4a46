/**
 * Type-checks the TypeScript of README.md and docs, and follows the relative links.
 *
 * A block marked `ts` is a whole module. `ts fragment` is shown only: for a piece that cannot stand alone.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { filesUnder, root, run } from './tool.mjs'

const pages = ['README.md', 'CHANGELOG.md', ...filesUnder('docs', '.md')].filter((page) =>
  existsSync(join(root, page)),
)
const problems = []

const folder = join(root, '.cache', 'docs')
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

let blocks = 0
for (const page of pages) {
  const { code, prose } = parse(readFileSync(join(root, page), 'utf8'))
  for (const { info, line, text } of code) {
    if (info !== 'ts') continue
    // As many empty lines as stand above the block: the compiler then names the line of the page.
    const name = `${page.replaceAll('/', '.').replace(/\.md$/, '')}.${line}.ts`
    writeFileSync(join(folder, name), `${'\n'.repeat(line)}${text}\nexport {}\n`)
    blocks += 1
  }
  for (const { target, line } of linksOf(prose)) {
    const reason = brokenLink(page, target)
    if (reason !== undefined) problems.push(`${page}:${line}  ${target}: ${reason}`)
  }
}

if (blocks > 0) {
  const config = { extends: '../../tsconfig.json', include: ['*.ts'] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  if (run('tsc', ['-p', relative(root, join(folder, 'tsconfig.json'))]) !== 0) {
    problems.push(
      'a ts block does not compile, see above: .cache/docs/<page>.<block>.ts has the lines of the page',
    )
  }
}
for (const problem of problems) console.error(problem)
process.exit(problems.length > 0 ? 1 : 0)

/** Splits a page into its fenced blocks and the lines between them (blocks become empty lines). */
function parse(markdown) {
  const code = []
  let open
  const prose = markdown.split('\n').map((text, index) => {
    const fence = /^\s*(`{3,}|~{3,})\s*(.*?)\s*$/.exec(text)
    if (open === undefined) {
      if (fence === null) return text
      open = { fence: fence[1], info: fence[2], line: index + 1, lines: [] }
    } else if (fence?.[2] === '' && fence[1].startsWith(open.fence)) {
      code.push({ info: open.info, line: open.line, text: open.lines.join('\n') })
      open = undefined
    } else {
      open.lines.push(text)
    }
    return ''
  })
  return { code, prose }
}

function linksOf(prose) {
  const link = /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|\b(?:src|href)="([^"]+)"|^\[[^\]]+\]:\s+(\S+)/g
  return prose.flatMap((text, index) =>
    [...text.replace(/`[^`]*`/g, '').matchAll(link)].map((match) => ({
      target: match[1] ?? match[2] ?? match[3],
      line: index + 1,
    })),
  )
}

function brokenLink(page, target) {
  if (/^[a-z][a-z+.-]*:/i.test(target)) return undefined
  const [path, anchor] = target.split('#')
  const file = path === '' ? join(root, page) : join(root, dirname(page), decodeURIComponent(path))
  if (!existsSync(file)) return 'no such file'
  if (anchor === undefined || statSync(file).isDirectory() || !file.endsWith('.md')) return undefined
  return anchorsOf(readFileSync(file, 'utf8')).includes(anchor) ? undefined : 'no such heading'
}

/** The anchors that a forge makes of the headings. */
function anchorsOf(markdown) {
  const seen = new Map()
  return parse(markdown).prose.flatMap((text) => {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(text)?.[1]
    if (heading === undefined) return [...text.matchAll(/\b(?:id|name)="([^"]+)"/g)].map(([, id]) => id)
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '').replaceAll(' ', '-')
    const before = seen.get(slug) ?? 0
    seen.set(slug, before + 1)
    return [before === 0 ? slug : `${slug}-${before}`]
  })
}
