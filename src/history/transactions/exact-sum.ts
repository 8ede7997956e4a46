/**
 * The sum of numbers as a decimal text, equal exactly when the sums of what was written down are: 0.1 + 0.2 is 0.3, and
 * 2^53 + 1 is not 2^53.
 */
export function exactSum(numbers: readonly (number | bigint)[]): string {
  let sum = 0
  for (const number of numbers) {
    sum += Number(number)
    if (typeof number === 'bigint' || !Number.isInteger(number) || !Number.isSafeInteger(sum)) {
      return sumOfDecimals(numbers)
    }
  }
  return `${sum}`
}

function sumOfDecimals(numbers: readonly (number | bigint)[]): string {
  let [units, scale] = [0n, 0] // units divided by ten to the scale
  for (const number of numbers) {
    const decimal = decimalOf(number)
    const common = Math.max(scale, decimal.scale)
    units = units * 10n ** BigInt(common - scale) + decimal.units * 10n ** BigInt(common - decimal.scale)
    scale = common
  }
  const digits = `${units < 0n ? -units : units}`.padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, '')
  return `${units < 0n ? '-' : ''}${whole}${fraction === '' ? '' : `.${fraction}`}`
}

/** The digits in which JavaScript shows a number are those in which it was written, up to 15 of them. */
function decimalOf(number: number | bigint): { units: bigint; scale: number } {
  const [mantissa, exponent] = String(number).split('e') as [string, string?]
  const [whole, fraction = ''] = mantissa.split('.') as [string, string?]
  const [units, scale] = [BigInt(whole + fraction), fraction.length - Number(exponent ?? 0)]
  return scale < 0 ? { units: units * 10n ** BigInt(-scale), scale: 0 } : { units, scale }
}
