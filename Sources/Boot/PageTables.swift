/// The page tables of the first instruction: the first 4 GiB at their own addresses (Intel SDM volume 3, 4.5).
public enum PageTables {
  private static let present: UInt64 = 1 << 0
  private static let writable: UInt64 = 1 << 1
  private static let large: UInt64 = 1 << 7

  /// The tables for `Layout.pageTables`: PML4, PDPT and, without `gigabytePages` (CPUID.80000001H:EDX bit 26), four
  /// page directories of 2 MiB pages.
  public static func identity(gigabytePages: Bool) -> [UInt8] {
    let base = Layout.pageTables
    var tables = [UInt8](repeating: 0, count: 4096 * (gigabytePages ? 2 : 6))
    tables.storeLittleEndian((base + 0x1000) | present | writable, at: 0)
    for gigabyte in 0..<4 {
      let address = UInt64(gigabyte) << 30
      let slot = 0x1000 + gigabyte * 8
      if gigabytePages {
        tables.storeLittleEndian(address | present | writable | large, at: slot)
        continue
      }
      let directory = 0x2000 + gigabyte * 0x1000
      tables.storeLittleEndian((base + UInt64(directory)) | present | writable, at: slot)
      for page in 0..<512 {
        tables.storeLittleEndian((address + UInt64(page) << 21) | present | writable | large, at: directory + page * 8)
      }
    }
    return tables
  }
}
