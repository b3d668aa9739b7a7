import CLinux
import System

@c(main)
public func main(argc: Int32, argv: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Int32 {
  Log.message("hello")
  return 0
}
