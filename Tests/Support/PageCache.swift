import CLinux
import System

/// syscall(2), which Swift does not import since it is variadic; with whole numbers it is called like any function.
@_silgen_name("syscall")
private func systemCall(
  _ number: Int, _ a: Int, _ b: UnsafePointer<UInt64>, _ c: UnsafeMutablePointer<UInt64>, _ d: Int
)
  -> Int

/// What the kernel's page cache holds of a file (cachestat(2), Linux 6.5).
public enum PageCache {
  /// Pages of `path` that are not on the disk yet; nil where the kernel cannot tell.
  public static func unwrittenPages(of path: String) -> UInt64? {
    guard let file = try? FileDescriptor.open(path, O_RDONLY) else { return nil }
    // struct cachestat_range {offset, length}, length 0 for the whole file; struct cachestat {cache, dirty, writeback, ...}.
    let range: [UInt64] = [0, 0]
    var result = [UInt64](repeating: 0, count: 5)
    guard systemCall(451, Int(file.rawValue), range, &result, 0) == 0 else { return nil }
    return result[1] + result[2]
  }
}
