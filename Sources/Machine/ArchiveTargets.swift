import CLinux
import GuestMemory
import System

/// An archive in guest memory from `address` on, where there is room for it and zeros are.
final class GuestTarget: ArchiveTarget {
  private let ram: GuestRAM
  private let address: UInt64

  init(ram: GuestRAM, address: UInt64) {
    self.ram = ram
    self.address = address
  }

  func put(_ bytes: [UInt8], at position: UInt64) throws(MachineError) {
    try naming { () throws(GuestMemoryError) in try ram.write(GuestAddress(address + position), bytes) }
  }

  /// Of a file that grew since its size was read, the first part is taken.
  func fill(from file: SharedFile, _ what: String, at position: UInt64, count: Int) throws(MachineError) {
    try naming(what) { () throws(GuestFileError) in
      try ram.fill(from: file.descriptor, offset: 0, to: GuestAddress(address + position), count: count)
    }
  }
}

/// An archive in a file that is empty: what nobody writes is a hole, which reads as zeros.
final class FileTarget: ArchiveTarget {
  private static let chunkSize = 1 << 20

  private let file: SharedFile
  private var chunk: [UInt8] = []

  init(_ file: SharedFile) { self.file = file }

  func put(_ bytes: [UInt8], at position: UInt64) throws(MachineError) {
    // unsafe: the array's own bytes, valid for the call.
    let result = unsafe bytes.withUnsafeBytes { unsafe write($0, at: position) }
    try result.check()
  }

  func fill(from file: SharedFile, _ what: String, at position: UInt64, count: Int) throws(MachineError) {
    if chunk.isEmpty { chunk = [UInt8](repeating: 0, count: Self.chunkSize) }
    var done = 0
    while done < count {
      let length = min(count - done, Self.chunkSize)
      // unsafe: length is at most the chunk's count; the buffer does not outlive the call.
      let result = unsafe chunk.withUnsafeMutableBytes { buffer -> WriteResult in
        let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<length])
        do throws(SystemError) {
          let got = try unsafe file.descriptor.readFully(into: part, at: Int64(done))
          guard got == length else { return .failed("\(what): it became shorter while it was read") }
        } catch {
          return .failed("\(what): \(error)")
        }
        return unsafe write(UnsafeRawBufferPointer(part), at: position + UInt64(done))
      }
      try result.check()
      done += length
    }
  }

  private enum WriteResult {
    case done
    case failed(String)

    func check() throws(MachineError) {
      if case .failed(let text) = self { throw MachineError(text) }
    }
  }

  private func write(_ bytes: UnsafeRawBufferPointer, at position: UInt64) -> WriteResult {
    var done = 0
    while done < bytes.count {
      // unsafe: done < bytes.count, so the rest lies inside the caller's buffer.
      let count = retryingInterrupts {
        unsafe pwrite(
          file.descriptor.rawValue, bytes.baseAddress?.advanced(by: done), bytes.count - done,
          off_t(position) + done)
      }
      guard let count else { return .failed("cannot write the guest's initramfs: \(Errno.current)") }
      done += count
    }
    return .done
  }
}
