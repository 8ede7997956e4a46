import { type ArmOptions, armFailpointsFromEnv, failpoint, failpoints, spawnProcess } from 'holdfast/testing'
import { afterEach, describe, expect, it } from 'vitest'

afterEach(() => failpoints.reset())

describe('failpoints', () => {
  it('does nothing at a place that is not armed', async () => {
    expect(failpoint('a')).toBeUndefined()
    failpoints.arm('b', 'throw')
    await failpoint('a')
  })

  it('throws at the hits asked for', async () => {
    const armed = failpoints.arm('a', 'throw', { skip: 1, times: 2 })
    const outcomes: string[] = []
    for (let i = 0; i < 5; i++) {
      try {
        await failpoint('a')
        outcomes.push('passed')
      } catch (error) {
        outcomes.push((error as { code: string }).code)
      }
    }
    expect(outcomes).toEqual(['passed', 'FAILPOINT', 'FAILPOINT', 'passed', 'passed'])
    expect(armed.hits).toBe(5)
  })

  it('pauses until it is resumed, and says when it was reached', async () => {
    const armed = failpoints.arm('a', 'pause')
    let passed = false
    const going = Promise.resolve(failpoint('a')).then(() => {
      passed = true
    })
    await armed.reached
    expect(passed).toBe(false)
    armed.resume()
    await going
    expect(passed).toBe(true)
    await failpoint('a')
  })

  it('waits for a function, which is told the name', async () => {
    const seen: string[] = []
    failpoints.arm('a', async (name) => void seen.push(name))
    await failpoint('a')
    expect(seen).toEqual(['a'])
  })

  it('counts what is reached, in order of first reach', async () => {
    await failpoint('before')
    failpoints.record()
    for (const name of ['b', 'a', 'b']) await failpoint(name)
    expect([...failpoints.hits()]).toEqual([
      ['b', 2],
      ['a', 1],
    ])
    failpoints.reset()
    expect([...failpoints.hits()]).toEqual([])
  })

  it.each([
    ['a=throw', [1, 2, 3, 4]],
    ['a=throw@3', [3]],
    ['a=throw*2', [1, 2]],
    [' b=kill@9, a=throw@2*2 ,', [2, 3]],
  ])('reads %j from the environment', async (text, throwsAt) => {
    armFailpointsFromEnv(text)
    const thrown: number[] = []
    for (let hit = 1; hit <= 4; hit++) {
      try {
        await failpoint('a')
      } catch {
        thrown.push(hit)
      }
    }
    expect(thrown).toEqual(throwsAt)
  })

  it.each(['a', 'a=', 'a=explode', 'a=kill@0', 'a=kill@x', '=kill', 'a=pause'])(
    'refuses %j, and arms nothing',
    (text) => {
      expect(() => armFailpointsFromEnv(`b=throw,${text}`)).toThrow(text)
      expect(() => failpoint('b')).not.toThrow()
    },
  )

  it('arms nothing for undefined and for empty text', () => {
    expect(armFailpointsFromEnv(undefined)).toEqual([])
    expect(armFailpointsFromEnv('')).toEqual([])
  })

  it.each([
    [{ skip: -1 }, 'skip'],
    [{ times: 1.5 }, 'times'],
    [{ at: 1 }, 'at'],
  ])('refuses the options %j', (options, text) => {
    expect(() => failpoints.arm('a', 'throw', options as ArmOptions)).toThrow(text)
  })
})

describe('spawnProcess', () => {
  it('kills, freezes and thaws a process', async () => {
    await using child = spawnProcess(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
    expect(child.running).toBe(true)
    child.freeze()
    await expect.poll(() => child.isFrozen()).toBe(true)
    child.thaw()
    await expect.poll(() => child.isFrozen()).toBe(false)
    expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
    expect(child.running).toBe(false)
    expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  })
})
