import Container
import JSON
import OCI

/// How `state` and `list` show containers.
enum OCIStatus {
  /// runc's form: the specification's state, and rootfs, created and owner beside it.
  static func json(_ status: ContainerStatus) -> JSON {
    var members: [JSON.Member] = [
      .init("ociVersion", .string(status.version)), .init("id", .string(status.id)),
      .init("pid", .integer(Int64(status.pid))), .init("status", .string(status.status.name)),
      .init("bundle", .string(status.bundle)), .init("rootfs", .string(status.rootfs)),
      .init("created", .string(status.created)),
    ]
    if !status.annotations.isEmpty {
      members.append(.init("annotations", .object(status.annotations.map { .init($0.name, .string($0.value)) })))
    }
    members.append(.init("owner", .string(OCIUsers().name(status.owner))))
    return .object(members)
  }

  /// One line for each, below a heading.
  static func table(_ all: [ContainerStatus]) -> String {
    let users = OCIUsers()
    var rows = [["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]]
    for status in all {
      rows.append([
        status.id, String(status.pid), status.status.name, status.bundle, status.created, users.name(status.owner),
      ])
    }
    return OCITable.text(rows)
  }
}

/// Columns as wide as their widest cell.
enum OCITable {
  /// `right`: the columns that are aligned there.
  static func text(_ rows: [[String]], right: Set<Int> = []) -> String {
    var widths: [Int] = []
    for row in rows {
      for column in row.indices {
        let width = row[column].unicodeScalars.count
        if column == widths.count { widths.append(width) } else { widths[column] = max(widths[column], width) }
      }
    }
    var text = ""
    for row in rows {
      var line = ""
      for column in row.indices {
        let space = String(repeating: " ", count: widths[column] - row[column].unicodeScalars.count)
        if column > 0 { line += "  " }
        line += right.contains(column) ? space + row[column] : row[column]
        if column < row.count - 1, !right.contains(column) { line += space }
      }
      text += line + "\n"
    }
    return text
  }
}

/// The names of the host's users (passwd(5)): without the C library's way, which loads libraries.
struct OCIUsers {
  private var names: [(UInt32, String)] = []

  init() {
    guard let bytes = try? OCIInput.read("/etc/passwd") else { return }
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard fields.count >= 3, let id = UInt32(String(decoding: fields[2], as: UTF8.self)) else { continue }
      names.append((id, String(decoding: fields[0], as: UTF8.self)))
    }
  }

  /// The user's name, or the number of one who has none.
  func name(_ id: UInt32) -> String { names.first { $0.0 == id }?.1 ?? String(id) }
}
