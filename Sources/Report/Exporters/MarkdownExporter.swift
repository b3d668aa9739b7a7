extension BenchReport {
  /// Tables in GitHub's Markdown, fit for a job summary or an issue.
  public func markdown() -> String {
    let summary = ReportSummary(self)
    let (tables, wording) = (Tables(report: self, summary: summary), Wording(report: self, summary: summary))
    var page = MarkdownText()
    page.line("### vmrun bench: start-up of a process, a container and a VM")
    page.line()
    for sentence in wording.findings() { page.item(sentence) }
    page.line()
    page.table(tables.starts(.warm))
    page.table(tables.starts(.cold))
    page.table(tables.costs())
    page.folded("Phases", summary.series(.warm).compactMap { tables.phases($0) })
    page.table(tables.concurrency())
    page.table(tables.density())
    let cautions = wording.cautions()
    if !cautions.isEmpty {
      page.line("**To know when reading this**")
      page.line()
      for sentence in cautions { page.item(sentence) }
      page.line()
    }
    if !missing.isEmpty {
      page.line("**Not run**")
      page.line()
      for fact in missing { page.item(Escaping.plain(fact.name) + ": " + Escaping.plain(fact.value)) }
      page.line()
    }
    if let isolation { isolation.write(to: &page) }
    page.folded("Environment", [Tables.facts(environment, caption: "Where it ran", "What", "Value")].compactMap { $0 })
    page.line("Made by vmrun \(Escaping.markdown(version)) on \(Figures.date(date)), seed \(seed):")
    page.line()
    page.code(Escaping.shell(command))
    return page.text
  }
}

extension IsolationReport {
  /// Tables in GitHub's Markdown, fit for a job summary or an issue.
  public func markdown() -> String {
    var page = MarkdownText()
    write(to: &page)
    page.folded("Environment", [Tables.facts(environment, caption: "Where it ran", "What", "Value")].compactMap { $0 })
    return page.text
  }

  func write(to page: inout MarkdownText) {
    page.line("### Isolation: what each side sees and can reach")
    page.line()
    page.line(Self.legend)
    page.line()
    for section in sections {
      page.line("#### \(section.number). \(Escaping.markdown(section.title))")
      page.line()
      if !section.introduction.isEmpty {
        page.line(Escaping.markdown(section.introduction))
        page.line()
      }
      page.table(section.table(sides), hasCaption: false)
      for row in section.rows where !row.note.isEmpty {
        page.item(Escaping.plain(row.question) + ": " + Escaping.plain(row.note))
      }
      if section.rows.contains(where: { !$0.note.isEmpty }) { page.line() }
    }
    if !unmeasured.isEmpty {
      page.line("**Not measured here**")
      page.line()
      for fact in unmeasured { page.item(Escaping.plain(fact.name) + ": " + Escaping.plain(fact.value)) }
      page.line()
    }
    if !notShown.isEmpty {
      page.line("**What such a comparison does not show**")
      page.line()
      for text in notShown { page.item(Escaping.plain(text)) }
      page.line()
    }
  }

  /// What the marks mean, in words.
  static let legend =
    "[shared]: the side has this in common with the host, from which it should be apart. [differs]: it is not what the "
    + "first side has. [same]: it is, without harm."
}

extension Table.Cell.Mark {
  /// The mark in words, so that no output needs colour; empty for none.
  var words: String {
    switch self {
    case .shared: "[shared]"
    case .differs: "[differs]"
    case .same: "[same]"
    case .none, .strong, .unknown: ""
    }
  }
}

/// Markdown that grows. What is handed over is escaped here, except to `line`.
struct MarkdownText {
  private(set) var text = ""

  mutating func line(_ markup: String = "") {
    text += markup
    text += "\n"
  }

  mutating func item(_ sentence: String) { line("- " + Escaping.markdown(sentence)) }

  mutating func table(_ table: Table?, hasCaption: Bool = true) {
    guard let table else { return }
    if hasCaption {
      line("**" + Escaping.markdown(table.caption) + "**")
      line()
    }
    text += "|"
    for column in table.columns {
      text += " "
      text += Escaping.markdown(column.title)
      text += " |"
    }
    text += "\n|"
    for column in table.columns { text += column.isNumeric ? " ---: |" : " :--- |" }
    line()
    for row in table.rows {
      text += "|"
      for cell in row {
        text += cell.mark == .strong ? " **" : " "
        text += Escaping.markdown(cell.text)
        if cell.mark == .strong { text += "**" }
        if !cell.mark.words.isEmpty {
          text += cell.mark == .shared ? " **" : " "
          text += Escaping.markdown(cell.mark.words)
          if cell.mark == .shared { text += "**" }
        }
        text += " |"
      }
      line()
    }
    line()
  }

  /// Tables behind a line that opens them.
  mutating func folded(_ title: String, _ tables: [Table]) {
    guard !tables.isEmpty else { return }
    line("<details><summary>" + Escaping.markup(title) + "</summary>")
    line()
    for table in tables { self.table(table) }
    line("</details>")
    line()
  }

  /// A fenced block, with a fence longer than any within.
  mutating func code(_ code: String) {
    var (longest, current) = (2, 0)
    for byte in code.utf8 {
      current = byte == UInt8(ascii: "`") ? current + 1 : 0
      longest = max(longest, current)
    }
    var fence = ""
    for _ in 0...longest { fence += "`" }
    line(fence + "sh")
    line(Escaping.plain(code))
    line(fence)
  }
}
