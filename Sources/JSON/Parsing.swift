import CContainer

/// A text that is no JSON, or more than vmrun takes.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong, and where: "line 3, column 7: expected a value".
  public let description: String

  init(_ description: String) { self.description = description }
}

extension JSON {
  /// The largest text that `parse` takes, in bytes.
  public static let mostBytes = 16 << 20
  /// How deeply arrays and objects may nest.
  public static let mostDepth = 64

  /// The one value that `text` holds (RFC 8259, strictly: UTF-8, no comments, nothing behind the value).
  /// - Throws: `JSONError`, which names line and column; also when a number exceeds 64 bits, when the text exceeds
  ///   `mostBytes` or nests deeper than `mostDepth`, and when a member's name holds a NUL.
  public static func parse(_ text: [UInt8]) throws(JSONError) -> JSON {
    guard text.count <= mostBytes else {
      throw JSONError("\(text.count) bytes are more than the \(mostBytes) that vmrun reads")
    }
    try TextChecker.check(text)
    // unsafe: the array outlives the call, is not empty, and its count fits Int32, as mostBytes does.
    let parsed = unsafe text.withUnsafeBytes {
      unsafe ccontainer_json_parse($0.baseAddress, Int32(text.count), Int32(mostDepth) + 1)
    }
    let error = unsafe parsed.error
    guard error == json_tokener_success else {
      // unsafe: json-c's messages are constants.
      let reason = unsafe json_tokener_error_desc(error).map { unsafe String(cString: $0) }
      throw JSONError(reason ?? "not JSON")
    }
    // unsafe: the tokener handed the tree over.
    guard let root = unsafe parsed.value else { return .null }
    // unsafe: the tree is this function's own, and nothing of it is kept: strings are copied.
    defer { unsafe _ = json_object_put(root) }
    return unsafe try convert(root)
  }

  /// The value of a node of json-c's tree, whose depth is bounded.
  private static func convert(_ node: OpaquePointer?) throws(JSONError) -> JSON {
    // unsafe: node belongs to the tree that parse holds; each accessor below is that of the node's type.
    guard let node = unsafe node else { return .null }
    switch unsafe json_object_get_type(node) {
    case json_type_boolean: return unsafe .boolean(json_object_get_boolean(node) != 0)
    case json_type_int: return unsafe integer(node)
    case json_type_double:
      let number = unsafe json_object_get_double(node)
      guard number.isFinite else { throw JSONError("a number exceeds what 64 bits hold") }
      return .number(number)
    case json_type_string:
      let count = unsafe Int(json_object_get_string_len(node))
      return unsafe .string(text(json_object_get_string(node), count))
    case json_type_array:
      let count = unsafe json_object_array_length(node)
      var values: [JSON] = []
      values.reserveCapacity(count)
      for index in 0..<count { unsafe values.append(try convert(json_object_array_get_idx(node, index))) }
      return .array(values)
    case json_type_object:
      var members: [Member] = []
      unsafe members.reserveCapacity(Int(json_object_object_length(node)))
      // unsafe: entries belong to the tree, which nobody changes while it is read.
      var next = unsafe ccontainer_json_first(node)
      while let entry = unsafe next {
        let name = unsafe text(ccontainer_json_name(entry), ccontainer_json_name_length(entry))
        unsafe members.append(Member(name, try convert(ccontainer_json_value(entry))))
        unsafe next = ccontainer_json_next(entry)
      }
      return .object(members)
    default: return .null
    }
  }

  /// An integer node; json-c keeps what exceeds Int64.max apart.
  private static func integer(_ node: OpaquePointer) -> JSON {
    // unsafe: node is one of parse's tree, and an integer.
    let signed = unsafe json_object_get_int64(node)
    guard signed == Int64.max else { return .integer(signed) }
    let unsigned = unsafe json_object_get_uint64(node)
    return unsigned > UInt64(Int64.max) ? .unsigned(unsigned) : .integer(signed)
  }

  private static func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
    // unsafe: nil, or json-c's string.
    guard let start = unsafe start else { return "" }
    // unsafe: json-c's string holds count bytes.
    return unsafe start.withMemoryRebound(to: UInt8.self, capacity: count) {
      unsafe String(decoding: UnsafeBufferPointer(start: $0, count: count), as: UTF8.self)
    }
  }
}
