import JSON
import Testing

@testable import OCI

@Suite struct SpecEncodingTests {
  @Test func whatExecNeedsIsReadBack() throws {
    var spec = Spec()
    spec.root = .init(path: "/somewhere", isReadOnly: true)
    var process = Process()
    process.args = [Array("sh".utf8), Array("ä".utf8)]
    process.env = [Array("A=b".utf8)]
    process.cwd = "/tmp"
    process.user.uid = 5
    process.user.gid = 6
    process.user.umask = 0o27
    process.user.additionalGids = [7, 8]
    process.noNewPrivileges = true
    process.capabilities = .init(all: DockerDefaults.capabilities)
    spec.process = process
    spec.linux.namespaces = [.init(.mount), .init(.pid), .init(.network, path: "/proc/1/ns/net"), .init(.user)]
    spec.linux.uidMappings = [IDMapping(containerID: 0, hostID: 1000, size: 10)]
    spec.linux.gidMappings = [IDMapping(containerID: 0, hostID: 1001, size: 20)]
    spec.linux.seccomp = DockerDefaults.seccomp(capabilities: DockerDefaults.capabilities)
    let bytes = spec.jsonForExec.serialized(pretty: false)
    let read = try Spec(decoding: JSON.parse(bytes))
    #expect(read.process == spec.process)
    #expect(read.linux.seccomp == spec.linux.seccomp)
    #expect(read.linux.namespaces == spec.linux.namespaces)
    #expect(read.linux.uidMappings == spec.linux.uidMappings)
    #expect(read.linux.gidMappings == spec.linux.gidMappings)
    #expect(read.root == spec.root)
  }

  @Test func bytesThatAreNoTextAreLeftOut() throws {
    var spec = Spec()
    spec.root = .init(path: "/")
    var process = Process()
    process.args = [Array("sh".utf8), [0xFF]]
    spec.process = process
    spec.linux.namespaces = [.init(.mount)]
    let read = try Spec(decoding: JSON.parse(spec.jsonForExec.serialized(pretty: false)))
    #expect(read.process?.args == [Array("sh".utf8)])
  }
}
