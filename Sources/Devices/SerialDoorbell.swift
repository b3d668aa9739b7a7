/// Rings by one byte 0x01 in a serial port's receiver; a ring that the guest has not read yet stands for later ones.
public final class SerialDoorbell: Doorbell {
  private let port: Serial16550

  /// Rings through `port`, which nothing else feeds.
  public init(_ port: Serial16550) { self.port = port }

  public func ring() { port.knock(1) }
}
