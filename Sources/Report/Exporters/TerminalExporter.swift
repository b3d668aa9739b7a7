extension BenchReport {
  /// The report for a terminal of `width` columns: tables, and what to know when reading them. With `colour`, ANSI sequences (ECMA-48,
  /// 8.3.117 SGR) make headings and medians bold and faint what is beside the point; nothing is told by colour alone.
  public func terminalTable(width: Int, colour: Bool) -> String {
    let summary = ReportSummary(self)
    let (tables, wording) = (Tables(report: self, summary: summary), Wording(report: self, summary: summary))
    var text = TerminalText(width: width, hasColour: colour)
    text.table(tables.starts(.warm))
    text.table(tables.starts(.cold))
    text.table(tables.costs())
    for series in summary.series(.warm) where !series.phases.isEmpty { text.phases(series, wording.name(series.arm)) }
    text.table(tables.concurrency())
    text.table(tables.density())
    for comparison in summary.machinesByContainer {
      text.paragraph(
        wording.name(comparison.arm) + ": " + Wording.ratio(comparison.ratio, to: wording.name(comparison.other)) + ".")
    }
    for sentence in wording.cautions() { text.item(sentence) }
    for fact in missing { text.item("Not run: " + Escaping.plain(fact.name) + ": " + Escaping.plain(fact.value)) }
    if let isolation { isolation.write(to: &text) }
    return text.text
  }
}

extension IsolationReport {
  /// The comparison for a terminal of `width` columns; marks are words, and with `colour` also in colour.
  public func terminalTable(width: Int, colour: Bool) -> String {
    var text = TerminalText(width: width, hasColour: colour)
    write(to: &text)
    return text.text
  }

  func write(to text: inout TerminalText) {
    for section in sections {
      text.heading("\(section.number). \(Escaping.plain(section.title))")
      if !section.introduction.isEmpty { text.paragraph(Escaping.plain(section.introduction)) }
      text.matrix(section, sides)
    }
    if !sections.isEmpty { text.paragraph(Self.legend) }
    for fact in unmeasured {
      text.item("Not measured: " + Escaping.plain(fact.name) + ": " + Escaping.plain(fact.value))
    }
    for limit in notShown { text.item("Not shown: " + Escaping.plain(limit)) }
  }
}

/// Text for a terminal that grows.
struct TerminalText {
  /// Narrower terminals get lines that they must break.
  static let leastWidth = 40

  private(set) var text = ""
  private let width: Int
  private let hasColour: Bool

  init(width: Int, hasColour: Bool) {
    self.width = max(Self.leastWidth, min(width, 1000))
    self.hasColour = hasColour
  }

  private enum Style: String { case bold = "1", faint = "2", red = "31;1", green = "32" }

  private mutating func add(_ string: String, _ style: Style?) {
    guard hasColour, let style else {
      text += string
      return
    }
    text += "\u{1B}["
    text += style.rawValue
    text += "m"
    text += string
    text += "\u{1B}[0m"
  }

  mutating func heading(_ string: String) {
    if !text.isEmpty { text += "\n" }
    add(TextWidth.wrapped(string, to: width), .bold)
    text += "\n"
  }

  mutating func paragraph(_ string: String) {
    text += TextWidth.wrapped(string, to: width)
    text += "\n"
  }

  mutating func item(_ string: String) {
    text += "- "
    text += TextWidth.wrapped(string, to: width, start: 2, indentation: 2)
    text += "\n"
  }

  /// A line of phases: "name: parse 0.12, open KVM 0.03 ms".
  mutating func phases(_ series: SeriesSummary, _ name: String) {
    let unit = Tables.phaseUnit(series)
    var line = ""
    for phase in series.phases {
      if !line.isEmpty { line += ", " }
      line += Escaping.plain(phase.name)
      line += " "
      line += unit.text(phase.end - phase.start)
    }
    heading("Phases of " + name + ", in " + unit.name)
    text += "  "
    text += TextWidth.wrapped(line, to: width, start: 2, indentation: 2)
    text += "\n"
  }

  mutating func table(_ table: Table?) {
    guard let table else { return }
    heading(table.caption)
    var shown = Array(table.columns.indices)
    var left: [String] = []
    func natural(_ column: Int) -> Int {
      var most = TextWidth.of(table.columns[column].short ?? table.columns[column].title)
      for row in table.rows { most = max(most, TextWidth.of(row[column].text)) }
      return most
    }
    let widths = table.columns.indices.map { natural($0) }
    func total() -> Int { shown.reduce(0) { $0 + widths[$1] } + 2 * (shown.count - 1) }
    while total() > width, let last = shown.max(by: { table.columns[$0].dispensable < table.columns[$1].dispensable }),
      table.columns[last].dispensable > 0
    {
      shown.removeAll { $0 == last }
      left.append(table.columns[last].title)
    }
    // The first column is the only one that may be cut.
    let first = max(8, widths[0] - max(0, total() - width))
    func line(_ cells: [Table.Cell], isHead: Bool) {
      for (place, column) in shown.enumerated() {
        let size = place == 0 ? min(widths[0], first) : widths[column]
        if place > 0 { text += "  " }
        let isLast = place == shown.count - 1
        let isRight = table.columns[column].isNumeric
        var cell = place == 0 ? TextWidth.cut(cells[column].text, to: size) : cells[column].text
        if isRight || !isLast { cell = TextWidth.padded(cell, to: size, isRight: isRight) }
        add(cell, isHead ? .faint : cells[column].mark == .strong ? .bold : nil)
      }
      text += "\n"
    }
    line(table.columns.map { Table.Cell($0.short ?? $0.title) }, isHead: true)
    for row in table.rows { line(row, isHead: false) }
    if !left.isEmpty {
      var note = "  left out at this width: "
      for (index, title) in left.enumerated() { note += (index > 0 ? ", " : "") + title }
      add(note, .faint)
      text += "\n"
    }
  }

  /// A question a paragraph, and a line for each side: findings are sentences, which columns would cut.
  mutating func matrix(_ section: IsolationSection, _ sides: [String]) {
    let table = section.table(sides)
    let name = min(24, sides.map { TextWidth.of(Escaping.plain($0)) }.max() ?? 0)
    for (row, cells) in section.rows.indices.map({ ($0, table.rows[$0]) }) {
      text += "  "
      add(TextWidth.wrapped(cells[0].text, to: width, start: 2, indentation: 2), .bold)
      text += "\n"
      for side in sides.indices where side + 1 < cells.count {
        let cell = cells[side + 1]
        text += "    "
        text += TextWidth.padded(TextWidth.cut(Escaping.plain(sides[side]), to: name), to: name, isRight: false)
        text += "  "
        let words = cell.mark.words
        if !words.isEmpty {
          add(words, cell.mark == .shared ? .red : cell.mark == .differs ? .green : .faint)
          text += " "
        }
        let used = 6 + name + (words.isEmpty ? 0 : TextWidth.of(words) + 1)
        let rest = TextWidth.wrapped(cell.text, to: width, start: used, indentation: 6 + name)
        add(rest, cell.mark == .unknown ? .faint : nil)
        text += "\n"
      }
      let note = section.rows[row].note
      if !note.isEmpty {
        text += "    "
        add(TextWidth.wrapped(Escaping.plain(note), to: width, start: 4, indentation: 4), .faint)
        text += "\n"
      }
    }
  }
}
