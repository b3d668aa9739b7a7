/// A diagnosis for a terminal.
public struct Screen {
  /// The widest line.
  let width: Int
  let hasColour: Bool

  /// Lines of at most `width` characters, at least 60; colour adds to the words and takes the place of none.
  public init(width: Int, hasColour: Bool) {
    self.width = max(60, width)
    self.hasColour = hasColour
  }

  private static let titleWidth = 18

  /// The whole text.
  public func text(_ diagnosis: Diagnosis) -> String {
    var lines = ""
    for section in Finding.Section.allCases {
      let findings = diagnosis.findings.filter { $0.section == section }
      if findings.isEmpty { continue }
      lines += emphasized(section.title) + "\n"
      var told: [String] = []
      for finding in findings {
        if finding.state == .works, !finding.group.isEmpty {
          if told.contains(finding.group) { continue }
          told.append(finding.group)
          let others = findings.filter { $0.group == finding.group && $0.state == .works }
          lines += row(.works, finding.group, Text.join(others.map { $0.title }))
        } else {
          lines += row(finding.state, finding.title, finding.text)
          if !finding.cost.isEmpty { lines += note("costs", finding.cost) }
          if !finding.remedy.isEmpty { lines += note("mend", finding.remedy) }
        }
      }
    }
    lines += emphasized("what works here") + "\n"
    for job in diagnosis.jobs { lines += row(job.works ? .works : .fails, job.title, job.text) }
    return lines
  }

  private func row(_ state: Finding.State, _ title: String, _ text: String) -> String {
    let lead = "  \(coloured(state))  " + pad(title, Screen.titleWidth)
    return wrapped(text, indentation: 6 + Screen.titleWidth, lead: lead)
  }

  private func note(_ name: String, _ text: String) -> String {
    wrapped(text, indentation: 13, lead: "      " + pad(name, 7))
  }

  private func coloured(_ state: Finding.State) -> String {
    guard hasColour else { return state.word }
    switch state {
    case .works: return "\u{1B}[32m\(state.word)\u{1B}[0m"
    case .missing: return "\u{1B}[33m\(state.word)\u{1B}[0m"
    case .fails: return "\u{1B}[1;31m\(state.word)\u{1B}[0m"
    }
  }

  private func emphasized(_ text: String) -> String { hasColour ? "\u{1B}[1m\(text)\u{1B}[0m" : text }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.utf8.count))
  }

  /// `text` broken at blanks, its first line behind `lead`, which counts `indentation` columns, the others below it.
  private func wrapped(_ text: String, indentation: Int, lead: String) -> String {
    var lines = lead
    var column = indentation
    for word in Text.split(text, " ") {
      let length = word.utf8.count
      if column > indentation, column + 1 + length > width {
        lines += "\n" + String(repeating: " ", count: indentation)
        column = indentation
      }
      if column > indentation {
        lines += " "
        column += 1
      }
      // A word that is longer than a line stays whole: it is a path to copy.
      lines += word
      column += length
    }
    return lines + "\n"
  }
}
