/// A filter as a graph of decisions, equal parts once: what remains of a BPF program when the system call's number and architecture
/// are known, and the search trees over numbers that lead there.
struct FilterGraph {
  /// A node's place in `nodes`; a node's successors have lower ones.
  typealias Index = Int32

  /// `code` of BPFInstruction. `give` has no successor, `load` and `and` have one.
  struct Node: Hashable {
    let code: UInt16
    let k: UInt32
    var ifTrue: Index = -1
    var ifFalse: Index = -1
  }

  private(set) var nodes: [Node] = []
  private var places: [Node: Index] = [:]

  /// The node, which is made when it is not there.
  mutating func add(_ node: Node) -> Index {
    // A decision without a choice is none.
    if node.ifTrue >= 0 && node.ifTrue == node.ifFalse { return node.ifTrue }
    if let place = places[node] { return place }
    let place = Index(truncatingIfNeeded: nodes.count)
    nodes.append(node)
    places[node] = place
    return place
  }

  /// A program that begins at `root`. Jumps go forward by at most 255 instructions, longer ways over an unconditional jump.
  func program(from root: Index) -> [BPFInstruction] {
    var emitter = Emitter(graph: self)
    emitter.emit(root)
    return emitter.reversed.reversed()
  }

  /// Writes the program from its end, so that every jump's target lies fixed already.
  private struct Emitter {
    let graph: FilterGraph
    /// The instructions, last one first.
    var reversed: [BPFInstruction] = []
    /// Where a node stands in `reversed`, or -1.
    private var places: [Int]

    init(graph: FilterGraph) {
      self.graph = graph
      places = Array(repeating: -1, count: graph.nodes.count)
    }

    mutating func emit(_ root: Index) {
      // Successors have lower places than who leads to them: one pass in this order meets them first.
      var isUsed = [Bool](repeating: false, count: graph.nodes.count)
      isUsed[Int(root)] = true
      for place in stride(from: Int(root), through: 0, by: -1) where isUsed[place] {
        let node = graph.nodes[place]
        if node.ifTrue >= 0 { isUsed[Int(node.ifTrue)] = true }
        if node.ifFalse >= 0 { isUsed[Int(node.ifFalse)] = true }
      }
      for place in 0...Int(root) where isUsed[place] { write(place) }
    }

    private mutating func write(_ place: Int) {
      let node = graph.nodes[place]
      var ifTrue: UInt8 = 0
      var ifFalse: UInt8 = 0
      switch node.code {
      case BPFInstruction.give: break
      case BPFInstruction.load, BPFInstruction.and:
        // What follows must come next.
        if places[Int(node.ifTrue)] != reversed.count - 1 { _ = detour(to: node.ifTrue) }
      default:
        var targetTrue = places[Int(node.ifTrue)]
        var targetFalse = places[Int(node.ifFalse)]
        // A detour makes the other way one longer.
        if reversed.count - targetFalse > 254 {
          targetFalse = detour(to: node.ifFalse)
        }
        if reversed.count - targetTrue > 255 {
          targetTrue = detour(to: node.ifTrue)
        }
        ifTrue = UInt8(truncatingIfNeeded: reversed.count - 1 - targetTrue)
        ifFalse = UInt8(truncatingIfNeeded: reversed.count - 1 - targetFalse)
      }
      places[place] = reversed.count
      reversed.append(BPFInstruction(code: node.code, jumpTrue: ifTrue, jumpFalse: ifFalse, k: node.k))
    }

    /// Puts a way to `place` at the nearest place: an end is written again, anything else is jumped to.
    private mutating func detour(to place: FilterGraph.Index) -> Int {
      let node = graph.nodes[Int(place)]
      let target = places[Int(place)]
      if node.code == BPFInstruction.give {
        places[Int(place)] = reversed.count
        reversed.append(BPFInstruction(code: node.code, k: node.k))
      } else {
        reversed.append(
          BPFInstruction(code: BPFInstruction.jump, k: UInt32(truncatingIfNeeded: reversed.count - 1 - target)))
      }
      return reversed.count - 1
    }
  }
}
