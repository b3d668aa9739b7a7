import Glibc
import System

/// What the kernel's page cache holds of a file (cachestat(2), Linux 6.5).
public enum PageCache {
  /// Pages of `path` that are not on the disk yet; nil where the kernel cannot tell.
  public static func unwrittenPages(of path: String) -> UInt64? {
    // The C library has no wrapper yet, and Swift does not import the variadic syscall(2) either.
    guard let raw = dlsym(dlopen(nil, RTLD_NOW), "syscall") else { return nil }
    typealias Call = @convention(c) (Int, Int, UnsafeMutableRawPointer, UnsafeMutableRawPointer, Int) -> Int
    let call = unsafeBitCast(raw, to: Call.self)
    guard let file = try? FileDescriptor.open(path, 0) else { return nil }
    // struct cachestat_range {offset, length}, length 0 for the whole file; struct cachestat {cache, dirty, writeback, ...}.
    var range: [UInt64] = [0, 0]
    var result = [UInt64](repeating: 0, count: 5)
    guard call(451, Int(file.rawValue), &range, &result, 0) == 0 else { return nil }
    return result[1] + result[2]
  }
}
