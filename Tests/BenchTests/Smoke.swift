@testable import Bench
