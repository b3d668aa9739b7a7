import Hardware

/// What the CPUID instruction tells (Intel SDM volume 2A, AMD APM volume 3).
enum Processor {
  /// Writes one line about who runs the guest and on what, and one about a few features.
  static func describe() {
    let basic = cpuid(0)
    let version = cpuid(1)
    let isVirtual = version.ecx >> 31 != 0
    Serial.write("hypervisor    ")
    if isVirtual {
      let signature = cpuid(0x4000_0000)
      write(signature.ebx, signature.ecx, signature.edx)
    } else {
      Serial.write("none announced")
    }
    Serial.write("\nprocessor     ")
    write(basic.ebx, basic.edx, basic.ecx)
    Serial.write(" family ")
    Serial.write(UInt64(family(version.eax)))
    Serial.write(" model ")
    Serial.write(UInt64(model(version.eax)))
    let lastExtended = cpuid(0x8000_0000).eax
    if lastExtended >= 0x8000_0004 { writeBrand() }
    Serial.write("\nfeatures     ")
    if lastExtended >= 0x8000_0001 {
      let extended = cpuid(0x8000_0001).edx
      feature(extended, 29, " lm")
      feature(extended, 20, " nx")
      feature(extended, 26, " pdpe1gb")
    }
    feature(version.edx, 26, " sse2")
    feature(version.ecx, 28, " avx")
    feature(version.ecx, 13, " cx16")
    feature(version.ecx, 21, " x2apic")
    feature(version.ecx, 30, " rdrand")
    Serial.write("\n")
  }

  /// The displayed family: the extended family counts only for family 15.
  private static func family(_ signature: UInt32) -> UInt32 {
    let family = signature >> 8 & 0xF
    return family == 0xF ? family + (signature >> 20 & 0xFF) : family
  }

  /// The displayed model: the extended model counts for families 6 and 15.
  private static func model(_ signature: UInt32) -> UInt32 {
    let family = signature >> 8 & 0xF
    let model = signature >> 4 & 0xF
    return family == 0xF || family == 6 ? model | (signature >> 12 & 0xF0) : model
  }

  private static func feature(_ word: UInt32, _ bit: UInt32, _ name: StaticString) {
    if word >> bit & 1 != 0 { Serial.write(name) }
  }

  /// Writes a signature of twelve characters, without the zeros that end a shorter one.
  private static func write(_ first: UInt32, _ second: UInt32, _ third: UInt32) {
    write([first, second, third])
  }

  /// Writes the name that the maker gave to the processor: 48 characters with blanks or zeros around it. Some
  /// hypervisors give none.
  private static func writeBrand() {
    let a = cpuid(0x8000_0002)
    guard a.eax != 0 else { return }
    Serial.write(", ")
    let b = cpuid(0x8000_0003)
    let c = cpuid(0x8000_0004)
    write([a.eax, a.ebx, a.ecx, a.edx, b.eax, b.ebx, b.ecx, b.edx, c.eax, c.ebx, c.ecx, c.edx])
  }

  private static func write<let count: Int>(_ words: InlineArray<count, UInt32>) {
    unsafe words.span.withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress else { return }
      // unsafe: registers are plain bytes, and nothing changes them before the text has been sent.
      unsafe Serial.write(Text(start: start.assumingMemoryBound(to: UInt8.self), count: bytes.count).trimmed)
    }
  }
}
