/// The few functions of a real number that the room needs, so that it stands on no C library.
enum Function {
  /// e to the power of `x`, to 14 digits.
  static func exponential(_ x: Double) -> Double {
    guard x > -700 else { return 0 }
    guard x < 700 else { return .infinity }
    // By squaring: the series converges at once for what is below 1/64.
    var halvings = 0
    var part = x
    while abs(part) > 1.0 / 64 {
      part /= 2
      halvings += 1
    }
    var (term, sum) = (1.0, 1.0)
    for power in 1..<9 {
      term *= part / Double(power)
      sum += term
    }
    for _ in 0..<halvings { sum *= sum }
    return sum
  }

  /// The cube root of `x`, which is not negative.
  static func cubeRoot(_ x: Double) -> Double {
    guard x > 0 else { return 0 }
    var root = max(1, x)
    for _ in 0..<200 {
      let next = root - (root * root * root - x) / (3 * root * root)
      if abs(next - root) <= 1e-13 * root { return next }
      root = next
    }
    return root
  }

  /// The part of a standard normal distribution below -`z`, with `z` from 0 (Abramowitz and Stegun, 26.2.17: to 7.5e-8).
  static func normalTail(_ z: Double) -> Double {
    let t = 1 / (1 + 0.2316419 * z)
    let polynomial =
      t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    return exponential(-z * z / 2) * 0.3989422804014327 * polynomial
  }

  /// What of Student's distribution with `freedom` degrees lies above with a chance of 2.5 % (Abramowitz and Stegun, 26.7.5).
  static func studentLimit(_ freedom: Int) -> Double {
    let exact = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365]
    guard freedom > exact.count else { return exact[max(1, freedom) - 1] }
    let (z, n) = (1.959963985, Double(freedom))
    let (z3, z5) = (z * z * z, z * z * z * z * z)
    return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n)
  }
}
