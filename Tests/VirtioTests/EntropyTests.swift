import GuestMemory
import System
import TestSupport
import Testing

@testable import Virtio

@Suite("Entropy device (5.4)")
struct EntropyTests {
  @Test("fills a buffer with bytes that differ each time, and nothing else")
  func fills() throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory)
    try guest.remember()
    let used = try #require(driver.perform([.writable(0x8000, 64)]))
    #expect(used == .init(head: 0, written: 64))
    let first = try guest.memory.read(GuestAddress(0x8000), count: 64)
    #expect(try guest.firstChange(outside: [QueueDriver.rings, 0x8000..<0x8040]) == nil)
    _ = try #require(driver.perform([.writable(0x8000, 64)]))
    #expect(try guest.memory.read(GuestAddress(0x8000), count: 64) != first)
    #expect(driver.interrupt.count == 2)
  }

  @Test("answers each request up to a bound, and says how many bytes it wrote")
  func bounded() throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory)
    try guest.remember()
    let used = try #require(driver.perform([.writable(0x20000, 100_000)]))
    #expect(used.written == UInt32(Entropy.bytesPerRequest))
    let end = 0x20000 + UInt64(Entropy.bytesPerRequest)
    #expect(try guest.firstChange(outside: [QueueDriver.rings, 0x20000..<end]) == nil)
  }

  @Test("a readable buffer before the writable one is left alone")
  func readable() throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory)
    try guest.remember()
    #expect(driver.perform([.readable(0x8000, 64), .writable(0x9000, 1)]) == .init(head: 0, written: 1))
    #expect(try guest.firstChange(outside: [QueueDriver.rings, 0x9000..<0x9001]) == nil)
  }

  @Test("one call does a bounded number of requests and asks to be called again")
  func budget() throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory)
    driver.transport.doorbell.drain()
    for index in 0..<60 { driver.submit([.writable(0x8000 + 16 * UInt64(index), 16)]) }
    driver.kick()
    #expect(driver.usedIndex == UInt16(Entropy.requestsPerCall))
    // The doorbell carries the rest.
    driver.runDoorbell()
    #expect(driver.usedIndex == 60)
    #expect(driver.transport.doorbell.drain() == 0)
  }

  @Test("does nothing while it is paused, and catches up afterwards")
  func paused() throws {
    let guest = try FakeGuest()
    let driver = try QueueDriver(device: Entropy(memory: guest.memory), memory: guest.memory)
    driver.transport.setPaused(true)
    driver.submit([.writable(0x8000, 16)])
    driver.kick()
    #expect(driver.usedIndex == 0)
    driver.transport.setPaused(false)
    driver.runDoorbell()
    #expect(driver.usedIndex == 1)
  }
}
