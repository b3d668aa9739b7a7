import MinimalGuest
import Testing

@testable import GuestInit

@Suite("System files")
struct SystemFileTests {
  @Test("home folders") func homes() {
    let table = Array(
      """
      root:x:0:0:root:/root:/bin/sh
      broken:x:7
      :::
      none:x:8:8::
      user:x:1000:1000:A User,,,:/home/user:/bin/sh
      again:x:1000:1000::/elsewhere:
      """.utf8)
    func home(_ user: UInt32) -> String { String(decoding: UserDatabase.home(of: user, in: table), as: UTF8.self) }
    #expect(home(0) == "/root")
    #expect(home(1000) == "/home/user")
    #expect(home(7) == "/")
    #expect(home(8) == "/")
    #expect(home(100) == "/")
    #expect(UserDatabase.home(of: 0, in: []) == Array("/".utf8))
  }

  @Test("mounted disks, the last one first") func disks() {
    let table = Array(
      """
      proc /proc proc rw,nosuid 0 0
      /dev/vda /data ext4 rw 0 0
      tmpfs /dev/shm tmpfs rw 0 0
      /dev/vdb /data/with\\040blank ext4 rw 0 0
      /dev/vdc
      """.utf8)
    let targets = MountedDisks.targets(in: table).map { String(decoding: $0, as: UTF8.self) }
    #expect(targets == ["/data/with blank", "/data"])
  }

  @Test("the search path's parts") func candidates() {
    func list(_ path: String, _ name: String) -> [String] {
      var configuration = CommandConfigurationFixture.plain
      configuration.environment = [Array("XPATH=/no".utf8), Array("PATH=\(path)".utf8)]
      return CommandEnvironment(configuration).candidates(for: Array(name.utf8)).map {
        String(decoding: $0, as: UTF8.self)
      }
    }
    #expect(list("/a:/b", "x") == ["/a/x", "/b/x"])
    #expect(list(":/b:", "x") == ["x", "/b/x", "x"])
    #expect(list("", "x") == ["x"])
    #expect(list("/a", "./x") == ["./x"])
    #expect(list("/a", "") == [])
  }

  @Test("the minimal guest is there, small, and begins with code") func minimalGuest() {
    #expect(MinimalGuest.size > 1024 && MinimalGuest.size < 8192)
    MinimalGuest.withImage { image in
      #expect(image.count == MinimalGuest.size)
      // push %rbp; mov %rsp, %rbp: a function's beginning, and no ELF header.
      #expect(image.starts(with: [0x55, 0x48, 0x89, 0xE5]))
    }
  }
}
