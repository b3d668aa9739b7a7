import CContainer
import CLinux
import Network
import System

/// Network devices, in a network namespace of their own.
enum NetworkChecks {
  static func findings(_ trial: Trial, _ caller: Caller) -> [Finding] {
    [
      bridge(trial.run(connect), caller),
      tap(
        trial.run { () throws(DoctorError) in
          try Stage.enter(ccontainer_newnet)
          let failure = ccontainer_prove_tap()
          guard failure == 0 else { throw DoctorError("/dev/net/tun: \(Errno(rawValue: failure))") }
          return "a tap device was made through /dev/net/tun"
        }, caller),
    ]
  }

  /// The bridge of `--net bridge` with one port, in a network that nobody else sees.
  private static func connect() throws(DoctorError) -> String {
    try Stage.enter(ccontainer_newnet | ccontainer_newns)
    try Stage.scratch()
    try Stage.makeFolder("/tmp/network")
    let network = BridgeNetwork(folder: "/tmp/network")
    return try naming { () throws(NetworkError) in
      let connection = try network.connect(name: "doctor")
      let text = "a bridge and a veth pair were made, with the address \(connection.address)"
      try network.disconnect(connection)
      return text
    }
  }

  static func bridge(_ result: TrialResult, _ caller: Caller) -> Finding {
    if case .done(let text) = result { return .works("network.bridge", .network, "bridge, veth", text) }
    return .lacks(
      "network.bridge", .network, "bridge, veth", result.text, state: .missing, cost: "containers with --net bridge",
      remedy: caller.asRoot("modprobe -a bridge veth"))
  }

  static func tap(_ result: TrialResult, _ caller: Caller) -> Finding {
    if case .done(let text) = result { return .works("network.tap", .network, "tap", text) }
    let isRefused = Text.contains(result.text, "permission denied")
    return .lacks(
      "network.tap", .network, "tap", result.text, state: .missing, cost: "tap devices for virtual machines",
      remedy: caller.asRoot(isRefused ? "chmod 0666 /dev/net/tun" : "modprobe tun"))
  }
}
