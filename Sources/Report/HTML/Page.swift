/// The frame of the page, and what its parts have in common. There is no script in it, and nothing that is loaded from elsewhere.
struct Page {
  private(set) var body = Markup()
  private var figures = 0
  private var tables = 0
  private var sections: [(id: String, title: String)] = []

  /// The whole document, in markup that is both HTML and XML.
  func document(title: String, eyebrow: String, meta: [String], footer: String) -> String {
    var page = Markup()
    page.raw("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n")
    page.element("head") { page in
      page.raw("<meta charset=\"utf-8\"/>")
      page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>")
      page.raw("<meta name=\"color-scheme\" content=\"light dark\"/>")
      page.leaf("title", [], title)
      page.element("style") { $0.raw(StyleSheet.text) }
    }
    page.line()
    page.element("body") { page in
      page.element("header") { page in
        page.leaf("p", ["class", "eyebrow"], eyebrow)
        page.leaf("h1", [], title)
        for line in meta { page.leaf("p", ["class", "meta"], line) }
        page.element("nav", ["aria-label", "Contents"]) { page in
          page.element("ul") { page in
            for section in sections {
              page.element("li") { $0.leaf("a", ["href", "#" + section.id], section.title) }
            }
          }
        }
      }
      page.line()
      page.element("main") { $0.raw(body.text) }
      page.line()
      page.element("footer") { $0.leaf("p", [], footer) }
    }
    page.raw("\n</html>\n")
    return page.text
  }

  /// A section with a heading that the contents name.
  mutating func section(_ id: String, _ title: String, _ draw: (inout Page) -> Void) {
    sections.append((id, title))
    body.raw("<section id=\"\(id)\" aria-labelledby=\"\(id)-h\">")
    body.leaf("h2", ["id", id + "-h"], title)
    draw(&self)
    body.raw("</section>\n")
  }

  mutating func paragraph(_ text: String) { body.leaf("p", [], text) }

  mutating func heading(_ text: String) { body.leaf("h3", [], text) }

  mutating func list(_ items: [String]) {
    guard !items.isEmpty else { return }
    body.element("ul") { list in for item in items { list.leaf("li", [], item) } }
  }

  mutating func code(_ text: String) { body.leaf("pre", [], Escaping.plain(text)) }

  mutating func add(_ draw: (inout Markup) -> Void) { draw(&body) }

  // MARK: Figures

  /// A line of a legend.
  struct LegendEntry {
    /// Index into the report's arms.
    var arm: Int
    var style: ArmStyle
    var name: String
  }

  struct Panel {
    /// Empty for a figure with one drawing.
    var title: String
    var plot: Plot
    /// The figures in words.
    var description: String
  }

  /// Where a figure's numbers stand as a table.
  enum Alternative {
    /// Within the figure, folded.
    case folded([Table])
    /// The table that follows next, or the last before.
    case next, last
  }

  enum Margin: String { case plain = "plot", axis = "plot y", names = "plot w" }

  /// A numbered figure of one or more drawings, with its legend and the same figures as a table that can be unfolded.
  mutating func figure(
    _ title: String, caption: String, margin: Margin, panels: [Panel], legend: [LegendEntry] = [],
    keys: [(className: String, name: String)] = [], alternative: Alternative
  ) {
    figures += 1
    let number = figures
    body.raw("<figure class=\"\(panels.count > 1 ? "long" : "short")\" id=\"figure-\(number)\">")
    body.element("figcaption") { text in
      text.leaf("b", [], "Figure \(number). \(title).")
      text.write(" " + caption)
    }
    if !legend.isEmpty || !keys.isEmpty {
      body.element("ul", ["class", "legend"]) { list in
        for entry in legend {
          list.element("li") { item in
            item.raw("<span class=\"swatch \(entry.style.colourClass) \(entry.style.dashClass)\"></span>")
            item.write(entry.name)
          }
        }
        for key in keys {
          list.element("li") { item in
            item.raw("<span class=\"key \(key.className)\"></span>")
            item.write(key.name)
          }
        }
      }
    }
    if panels.count > 1 { body.raw("<div class=\"panels\">") }
    for (index, panel) in panels.enumerated() {
      body.raw("<div>")
      if !panel.title.isEmpty { body.leaf("h3", [], panel.title) }
      body.element("div", ["class", margin.rawValue]) { box in
        panel.plot.write(
          to: &box, id: "figure-\(number)-\(index + 1)",
          title: panel.title.isEmpty ? title : title + ": " + panel.title,
          description: panel.description)
      }
      body.raw("</div>")
    }
    if panels.count > 1 { body.raw("</div>") }
    switch alternative {
    case .folded(let tables):
      body.raw("<details><summary>The same figures as a table</summary>")
      for table in tables { self.table(table) }
      body.raw("</details>")
    case .next: pointer(to: tables + 1)
    case .last: pointer(to: tables)
    }
    body.raw("</figure>\n")
  }

  private mutating func pointer(to table: Int) {
    body.raw("<p class=\"see\"><a href=\"#table-\(table)\">The same figures as a table: Table \(table)</a></p>")
  }

  // MARK: Tables

  /// A numbered table, which scrolls by itself where the screen is narrow.
  mutating func table(_ table: Table?, className: String = "figures") {
    guard let table else { return }
    tables += 1
    let number = tables
    body.element("div", ["class", "scroll", "role", "region", "tabindex", "0", "aria-label", table.caption]) { box in
      box.element("table", ["class", className, "id", "table-\(number)"]) { markup in
        markup.element("caption") { text in
          text.leaf("b", [], "Table \(number).")
          text.write(" " + table.caption)
        }
        Self.write(table, notes: [], to: &markup)
      }
    }
    body.line()
  }

  /// Findings side by side; on a narrow screen each row becomes a paragraph. `notes` are of the rows, empty for none.
  mutating func matrix(_ table: Table, notes: [String]) {
    tables += 1
    let number = tables
    body.element("div", ["class", "scroll"]) { box in
      // Roles by word: blocks in place of cells would lose them.
      box.element("table", ["class", "matrix", "role", "table"]) { markup in
        markup.element("caption") { text in
          text.leaf("b", [], "Table \(number).")
          text.write(" " + table.caption)
        }
        Self.write(table, notes: notes, to: &markup)
      }
    }
    body.line()
  }

  private static func write(_ table: Table, notes: [String], to markup: inout Markup) {
    let isMatrix = !notes.isEmpty
    markup.element("thead", isMatrix ? ["role", "rowgroup"] : []) { head in
      head.element("tr", isMatrix ? ["role", "row"] : []) { row in
        for column in table.columns {
          row.leaf(
            "th", ["scope", "col"] + (isMatrix ? ["role", "columnheader"] : column.isNumeric ? ["class", "n"] : []),
            column.title)
        }
      }
    }
    markup.element("tbody", isMatrix ? ["role", "rowgroup"] : []) { rows in
      for (index, cells) in table.rows.enumerated() {
        rows.element("tr", isMatrix ? ["role", "row"] : []) { row in
          for (place, cell) in cells.enumerated() {
            if place == 0 {
              row.element("th", ["scope", "row"] + (isMatrix ? ["role", "rowheader"] : [])) { head in
                head.write(cell.text)
                if index < notes.count, !notes[index].isEmpty { head.leaf("span", ["class", "why"], notes[index]) }
              }
            } else if isMatrix {
              self.cell(cell, side: table.columns[place].title, to: &row)
            } else {
              row.element("td", table.columns[place].isNumeric ? ["class", "n"] : []) { data in
                if cell.mark == .strong { data.leaf("strong", [], cell.text) } else { data.write(cell.text) }
              }
            }
          }
        }
      }
    }
  }

  private static func cell(_ cell: Table.Cell, side: String, to row: inout Markup) {
    let (name, chip) = chip(cell.mark)
    row.element("td", ["role", "cell", "data-side", side] + (name.isEmpty ? [] : ["class", name])) { data in
      data.write(cell.text)
      if !chip.isEmpty {
        data.raw(" ")
        data.leaf("span", ["class", "chip"], chip)
      }
    }
  }

  /// The class of a mark, and its words.
  static func chip(_ mark: Table.Cell.Mark) -> (className: String, words: String) {
    switch mark {
    case .shared: ("shared", "! shared")
    case .differs: ("differs", "≠ differs")
    case .same: ("same", "= same")
    case .unknown: ("unknown", "")
    case .none, .strong: ("", "")
    }
  }
}
