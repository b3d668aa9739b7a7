import CLinux
import Foundation
import OCI
import Testing

@testable import Container

/// Against a folder of files in resctrl's place: no machine of ours has the processor for it.
@Suite struct ProcessIntelRDTTests {
  @Test func aProcessJoinsItsClass() throws {
    let scratch = ProcessScratch()
    mkdir("\(scratch.path)/gold", 0o755)
    mkdir("\(scratch.path)/gold/mon_groups", 0o755)
    mkdir("\(scratch.path)/gold/mon_groups/c1", 0o755)
    for file in ["gold/schemata", "gold/tasks", "gold/mon_groups/c1/tasks", "tasks"] { _ = scratch.file(file, "") }
    var rdt = Linux.IntelRDT()
    rdt.closID = "gold"
    rdt.enableMonitoring = true
    rdt.l3CacheSchema = "L3:0=f\nL3:1=f0"
    try IntelRDT.join(rdt, id: "c1", pid: 77, root: scratch.path)
    func content(_ name: String) throws -> String {
      try String(contentsOfFile: "\(scratch.path)/\(name)", encoding: .utf8)
    }
    #expect(try content("gold/tasks") == "77\n")
    #expect(try content("gold/mon_groups/c1/tasks") == "77\n")
    // Line by line: a plain file keeps the last one, as each write starts anew.
    #expect(try content("gold/schemata").hasPrefix("L3:1=f0\n"))
    rdt = Linux.IntelRDT()
    rdt.closID = "/"
    try IntelRDT.join(rdt, id: "c1", pid: 78, root: scratch.path)
    #expect(try content("tasks") == "78\n")
  }

  @Test func refusals() throws {
    let scratch = ProcessScratch()
    var rdt = Linux.IntelRDT()
    for bad in ["", ".", "..", "a/b", "info", "mon_groups", "a\nb"] {
      rdt.closID = bad
      #expect(throws: ContainerError.self, "\(bad)") { try IntelRDT.join(rdt, id: "c1", pid: 1, root: scratch.path) }
    }
    rdt.closID = "absent"
    #expect {
      try IntelRDT.join(rdt, id: "c1", pid: 1, root: scratch.path)
    } throws: { ($0 as? ContainerError)?.kind == .notFound }
    if access("/sys/fs/resctrl/schemata", F_OK) != 0 {
      #expect {
        try IntelRDT.join(rdt, id: "c1", pid: 1)
      } throws: { ($0 as? ContainerError)?.kind == .notSupported }
    }
  }
}
