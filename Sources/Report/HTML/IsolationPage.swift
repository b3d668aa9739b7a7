extension IsolationReport {
  /// The comparison as one page that needs nothing else, in the same frame as a bench report's.
  public func html() -> String {
    var page = Page()
    page.section("isolation", "Isolation", write)
    if !environment.isEmpty {
      page.section("environment", "Environment") { page in
        page.table(Tables.facts(environment, caption: "Where it was measured", "What", "Value"), className: "facts")
      }
    }
    page.section("terms", "Terms") { $0.glossary(hasBench: false) }
    return page.document(
      title: "What each side sees and can reach", eyebrow: "vmrun isolation", meta: [],
      footer: "Made by vmrun. The page holds no script and loads nothing.")
  }

  /// The section of this or of a bench report's page.
  func write(to page: inout Page) {
    page.paragraph(
      "The same probe asked the same questions on every side. No score is drawn from it: what matters depends on who attacks."
    )
    page.list(counts())
    page.add { body in
      body.element("p") { text in
        for (mark, meaning) in [
          (Table.Cell.Mark.shared, " in common with the host, from which the side should be apart. "),
          (.differs, " not what the first side has. "), (.same, " what the first side has, without harm."),
        ] {
          let (name, words) = Page.chip(mark)
          text.leaf("span", ["class", "chip " + name], words)
          text.write(meaning)
        }
      }
    }
    for section in sections {
      page.heading("\(section.number). \(Escaping.plain(section.title))")
      if !section.introduction.isEmpty { page.paragraph(section.introduction) }
      page.matrix(section.table(sides), notes: section.rows.map { Escaping.plain($0.note) })
    }
    if !unmeasured.isEmpty {
      page.heading("Not measured here")
      page.list(unmeasured.map { Escaping.plain($0.name) + ": " + Escaping.plain($0.value) })
    }
    if !notShown.isEmpty {
      page.heading("What such a comparison does not show")
      page.list(notShown.map { Escaping.plain($0) })
    }
  }

  /// For each side but the first, how many findings it shares.
  private func counts() -> [String] {
    let rows = sections.reduce(0) { $0 + $1.rows.count }
    return sides.indices.dropFirst().map { side in
      let shared = sections.reduce(0) { $0 + $1.sharedCount(side) }
      var text = Escaping.plain(sides[side])
      text += ": "
      text += String(shared)
      text += " of "
      text += String(rows)
      return text + " rows in common with the host that should be apart."
    }
  }
}
