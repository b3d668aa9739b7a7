/// A table for people, from which the terminal's, Markdown's and the page's are made: so their figures are the same.
struct Table {
  struct Column {
    var title: String
    /// In place of the title where room is short.
    var short: String?
    /// Aligned at the right.
    var isNumeric = true
    /// A narrow terminal leaves out the columns with the highest number first; 0 never.
    var dispensable = 0
  }

  struct Cell {
    enum Mark { case none, strong, shared, differs, same, unknown }
    var text: String
    var mark = Mark.none

    init(_ text: String, _ mark: Mark = .none) {
      self.text = text
      self.mark = mark
    }
    /// What could not be measured.
    static let missing = Cell("–")
  }

  var caption: String
  var columns: [Column]
  var rows: [[Cell]] = []
}
