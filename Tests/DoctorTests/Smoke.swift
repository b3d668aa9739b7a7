@testable import Doctor
