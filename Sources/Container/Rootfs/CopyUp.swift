import System
enum CopyUp {
  static func copy(from: Int32, to: Int32) throws(SystemError) {}
}
