@testable import Report
