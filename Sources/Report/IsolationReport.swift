/// What one probe found on one side.
public enum Finding: Equatable, Sendable {
  /// What was found, short.
  case value(String)
  /// It could not be measured, and why.
  case unknown(String)
}

/// One row of the comparison: the same question on every side.
public struct IsolationRow: Equatable, Sendable {
  public var question: String
  /// One finding for each of the report's sides, in their order.
  public var findings: [Finding]
  /// Whether a side that should be apart from the host is not: marked in the table.
  public var isShared: [Bool]
  /// Why it is so, where that surprises; empty for nothing.
  public var note: String

  public init(question: String, findings: [Finding], isShared: [Bool], note: String = "") {
    self.question = question
    self.findings = findings
    self.isShared = isShared
    self.note = note
  }
}

/// The rows of one subject.
public struct IsolationSection: Equatable, Sendable {
  /// 1 to 8.
  public var number: UInt32
  public var title: String
  /// What the rows show, in a sentence or two.
  public var introduction: String
  public var rows: [IsolationRow]

  public init(number: UInt32, title: String, introduction: String, rows: [IsolationRow]) {
    self.number = number
    self.title = title
    self.introduction = introduction
    self.rows = rows
  }
}

/// The comparison of the sides.
public struct IsolationReport: Equatable, Sendable {
  /// "host", "container", "VM": names of the columns.
  public var sides: [String]
  public var sections: [IsolationSection]
  /// What could not be measured here, and why.
  public var unmeasured: [Fact]
  /// What such a comparison cannot show at all.
  public var notShown: [String]
  public var environment: [Fact]

  public init(
    sides: [String], sections: [IsolationSection], unmeasured: [Fact], notShown: [String], environment: [Fact]
  ) {
    self.sides = sides
    self.sections = sections
    self.unmeasured = unmeasured
    self.notShown = notShown
    self.environment = environment
  }
}
