import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { feistel, fileCounter, inspectFileCounter, type PermutedIds, permutedIds } from 'holdfast/id'
import { failpoints } from 'holdfast/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type TempFolder, tempFolder } from '../support/files.ts'
import { startFixture } from '../support/process.ts'
import { until } from '../support/wait.ts'

type Line = { id?: string; refused?: string }
const fixture = new URL('./id-process.ts', import.meta.url)
const permutation = feistel('public')

let folder: TempFolder
let path: string
const open = new Set<PermutedIds>()
beforeEach(() => {
  folder = tempFolder('ids')
  path = folder.file('ids.state')
})
afterEach(async () => {
  failpoints.reset()
  for (const ids of open) await ids.close()
  open.clear()
  folder.remove()
})

function generator(blockSize = 10, file = path): PermutedIds {
  const ids = permutedIds({ instance: 3, source: fileCounter(file), permutation, blockSize, prefetch: false })
  open.add(ids)
  return ids
}

async function next(ids: PermutedIds): Promise<bigint> {
  return ids.decode(await ids.next()).sequence
}

const state = (): string => readFileSync(path, 'latin1')

describe('the state file', () => {
  it('is moved on before a number is used, and continued', async () => {
    const first = generator()
    expect(await next(first)).toBe(0n)
    expect(state()).toBe('10')
    await first.close()
    expect(await next(generator())).toBe(10n)
    expect(state()).toBe('20')
  })

  it.each([
    ['absent', undefined, 0n],
    ['empty', '', 0n],
    ['one of permid64', '40960', 40960n],
    ['with a line end', '40960\n', 40960n],
    ['above 2^32', '140737488355328', 2n ** 47n],
  ])('%s is continued', async (_name, text, wanted) => {
    if (text !== undefined) writeFileSync(path, text)
    expect(await next(generator())).toBe(wanted)
  })

  it.each([
    ['no number', 'x'],
    ['negative', '-1'],
    ['a float', '1.5'],
    ['two numbers', '1 2'],
    ['above 2^48', '281474976710657'],
    ['a megabyte of digits', '1'.repeat(1_000_000)],
    ['bytes', '\0\xff'],
  ])('%s is refused and left as it is', async (_name, text) => {
    writeFileSync(path, text, 'latin1')
    await expect(generator().next()).rejects.toMatchObject({
      code: 'ID_STATE_INVALID',
      outcome: 'not-applied',
    })
    expect(state()).toBe(text)
  })

  it('is used up at 2^48 and not a number later', async () => {
    writeFileSync(path, String(2 ** 48 - 10))
    const ids = generator(10)
    for (let i = 0; i < 10; i++) expect(await next(ids)).toBe(2n ** 48n - 10n + BigInt(i))
    await expect(ids.next()).rejects.toMatchObject({ code: 'ID_EXHAUSTED' })
    expect(state()).toBe(String(2 ** 48))
  })

  it.each([
    ['cut', (s: string) => writeFileSync(path, s.slice(0, -1))],
    ['emptied', () => writeFileSync(path, '')],
    ['removed', () => rmSync(path)],
    ['restored from a backup', () => writeFileSync(path, '10')],
  ])('%s, it is refused, and the message says what to write', async (_name, harm) => {
    const first = generator(100)
    await first.next()
    await first.close()
    const second = generator(100)
    await second.next()
    await second.close()
    harm(state())
    await expect(generator().next()).rejects.toThrow(/numbers up to 199 were reserved.*Write 200/)
    writeFileSync(path, '200')
    expect(await next(generator())).toBe(200n)
  })

  it('is one file by whatever links it is named', async () => {
    const links = ['a.state', 'b.state'].map((name) => folder.file(name))
    for (const link of links) symlinkSync(path, link)
    await expect(generator(10, links[0]).next()).rejects.toThrow('is a link that leads nowhere')
    writeFileSync(path, '40')
    const first = generator(10, links[0])
    expect(await next(first)).toBe(40n)
    await expect(generator(10, links[1]).next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
    await first.close()
    expect(state()).toBe('50')
    expect(await next(generator(10, links[1]))).toBe(50n)
    expect(links.map((link) => lstatSync(link).isSymbolicLink())).toEqual([true, true])
  })

  it.each([
    ['a pipe', () => execFileSync('mkfifo', [path])],
    ['a folder', () => mkdirSync(path)],
  ])('%s is refused and left alone', async (_name, make) => {
    make()
    const before = lstatSync(path)
    const refused = { code: 'ID_STATE_INVALID', message: expect.stringContaining('is not a regular file') }
    await expect(generator().next()).rejects.toMatchObject(refused)
    await expect(inspectFileCounter(path)).rejects.toMatchObject(refused)
    expect(lstatSync(path).ino).toBe(before.ino)
    expect(readdirSync(dirname(path))).toEqual([basename(path)])
  })

  it('may be moved on by another program', async () => {
    const first = generator()
    await first.next()
    await first.close()
    writeFileSync(path, '500')
    expect(await next(generator())).toBe(500n)
  })

  it('with a damaged record is refused; with half of one it goes on', async () => {
    for (let i = 0; i < 2; i++) {
      const ids = generator()
      await ids.next()
      await ids.close()
    }
    const record = readFileSync(`${path}.reserved`)
    expect(record.length).toBe(1024)
    record.fill('?', 512)
    writeFileSync(`${path}.reserved`, record)
    const ids = generator()
    expect(await next(ids)).toBe(20n)
    await ids.close()
    writeFileSync(`${path}.reserved`, 'gone')
    await expect(generator().next()).rejects.toMatchObject({ code: 'ID_STATE_INVALID' })
  })

  it('is not trusted after a failed write, until it is opened again', async () => {
    const ids = generator()
    await next(ids)
    for (let i = 1; i < 10; i++) await ids.next()
    rmSync(`${path}.new`, { force: true })
    mkdirSync(`${path}.new`) // opening it for writing fails
    await expect(ids.next()).rejects.toMatchObject({ code: 'ID_STATE_INVALID' })
    rmSync(`${path}.new`, { recursive: true })
    await expect(ids.next()).rejects.toMatchObject({ code: 'ID_STATE_INVALID' })
    await ids.close()
    expect(await next(generator())).toBe(10n)
  })

  it('in a folder that is missing, is a clear error', async () => {
    path = folder.file('none/ids.state')
    await expect(generator().next()).rejects.toMatchObject({ code: 'ID_STATE_INVALID' })
  })

  it('on a read-only disk, is a clear error and gives no id', async () => {
    writeFileSync(path, '77')
    const argument = JSON.stringify({ path, count: 1, blockSize: 10 })
    const command = `exec "${process.execPath}" --import tsx "$2" "$3"`
    const root = process.getuid?.() === 0
    // Rights do not stop root, so as root the folder is mounted read-only, in a namespace that ends with the process.
    const mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" &&'
    if (!root) chmodSync(folder.path, 0o555)
    const script = `${root ? mount : ''} ${command}`
    const args = ['sh', '-c', script, 'sh', folder.path, fileURLToPath(fixture), argument]
    const cwd = fileURLToPath(new URL('../..', import.meta.url))
    const [file, ...rest] = root ? ['unshare', '-m', ...args] : args
    const { stdout, stderr } = spawnSync(file as string, rest, { encoding: 'utf8', cwd })
    if (!root) chmodSync(folder.path, 0o755)
    expect(`${stdout}${stderr}`.trim()).toBe('{"refused":"ID_STATE_INVALID"}')
    expect(state()).toBe('77')
  })
})

describe('a second live generator on the file', () => {
  it('is refused in the same process, and welcome once the first is closed', async () => {
    const first = generator()
    await first.next()
    const second = generator()
    await expect(second.next()).rejects.toMatchObject({ code: 'ID_IN_USE', outcome: 'not-applied' })
    await expect(second.next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
    expect(await inspectFileCounter(path)).toEqual({ next: 10n, inUse: true, hasRecord: true })
    await first.close()
    expect(await inspectFileCounter(path)).toMatchObject({ inUse: false })
    expect(await next(second)).toBe(10n)
  })

  it('is refused through another path to the same folder', async () => {
    await generator().next()
    path = folder.file('./../').concat(folder.path.split('/').at(-1) as string, '/ids.state')
    await expect(generator().next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
  })

  it('is refused in another thread', async () => {
    await generator().next()
    const worker = new Worker(
      `const { createRequire } = require('node:module');
       require('node:module').register; 
       const net = require('node:net');
       const { readdirSync } = require('node:fs');
       const { workerData, parentPort } = require('node:worker_threads');
       import(workerData.tsx).then(({ tsImport }) => tsImport(workerData.module, workerData.parent)).then(async ({ fileCounter, permutedIds, feistel }) => {
         const ids = permutedIds({ instance: 3, source: fileCounter(workerData.path), permutation: feistel('public') });
         parentPort.postMessage(await ids.next().then(() => 'given', (error) => error.code));
       }).catch((error) => parentPort.postMessage(String(error.stack)));`,
      {
        eval: true,
        workerData: {
          path,
          tsx: import.meta.resolve('tsx/esm/api'),
          module: new URL('../../src/id/index.ts', import.meta.url).href,
          parent: import.meta.url,
        },
      },
    )
    try {
      expect(await new Promise((resolve) => worker.once('message', resolve))).toBe('ID_IN_USE')
    } finally {
      await worker.terminate()
    }
  })

  it('is refused by a process that is alive or stopped, and not by one that was killed', async () => {
    const holder = startFixture<Line>(fixture, {
      args: [JSON.stringify({ path, count: 5, blockSize: 10, hold: true })],
    })
    await until(() => holder.lines.length === 5, { deadlineMs: 30_000 })
    await expect(generator().next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
    holder.freeze()
    await expect(generator().next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
    await holder.kill()
    const written = new Set(holder.lines.map((line) => line.id))
    const ids = generator()
    const after = await ids.next()
    expect(written.has(after.toString())).toBe(false)
    expect(readdirSync(folder.path).filter((name) => name.startsWith('ids.state.owner.'))).toEqual([
      'ids.state.owner.2',
    ])
  })

  it('is refused also when both found the former owner dead at the same moment', async () => {
    const former = generator()
    await former.next()
    await former.close()
    let waiting = 0
    let go: () => void = () => {}
    const together = new Promise<void>((resolve) => {
      go = resolve
    })
    failpoints.arm('id.owner.found-dead', async () => {
      waiting++
      if (waiting === 8) go()
      await together
    })
    const results = await Promise.allSettled(Array.from({ length: 8 }, () => generator().next()))
    const codes = results.map((r) =>
      r.status === 'fulfilled' ? 'given' : (r.reason as { code: string }).code,
    )
    expect(codes.sort()).toEqual([...Array(7).fill('ID_IN_USE'), 'given'])
  })

  it('is refused to one that was delayed while others came and went', async () => {
    const former = generator()
    await former.next()
    await former.close()
    const armed = failpoints.arm('id.owner.found-dead', 'pause', { times: 1 })
    const late = generator()
    const delayed = late.next()
    await armed.reached
    for (let i = 0; i < 2; i++) {
      const other = generator()
      await other.next()
      await other.close()
    }
    const holder = generator()
    await holder.next()
    armed.resume()
    await expect(delayed).rejects.toMatchObject({ code: 'ID_IN_USE' })
  })

  it('is seen in a folder whose path is longer than a socket name may be', async () => {
    const deep = `${'a'.repeat(100)}/${'b'.repeat(100)}`
    mkdirSync(folder.file(deep), { recursive: true })
    path = folder.file(`${deep}/ids.state`)
    await generator().next()
    await expect(generator().next()).rejects.toMatchObject({ code: 'ID_IN_USE' })
    expect(statSync(path).size).toBe(2)
  })
})

describe('kill -9', () => {
  const rounds = Number(process.env.HOLDFAST_ID_KILLS ?? 6)
  it('in a loop never yields a repeated id', { timeout: 20_000 + rounds * 5_000 }, async () => {
    const seen = new Set<string>()
    const places = [undefined, 'id.file.reserving', 'id.file.reserved']
    for (let round = 0; round < rounds; round++) {
      const killAt = places[round % places.length]
      const child = startFixture<Line>(fixture, { args: [JSON.stringify({ path, blockSize: 7, killAt })] })
      if (killAt === undefined) {
        const enough = 20 + 60 * round
        await child.line(() => child.lines.length > enough, { deadlineMs: 60_000 })
        await child.kill()
      }
      expect((await child.exited).signal).toBe('SIGKILL')
      expect(child.lines.length).toBeGreaterThan(6)
      for (const { id } of child.lines) {
        expect(id).toBeDefined()
        expect(seen.has(id as string)).toBe(false)
        seen.add(id as string)
      }
    }
    const decoded = [...seen].map((id) => permutation.decode(BigInt(id)))
    expect(decoded.every((raw) => raw >> 48n === 3n)).toBe(true)
  })
})
