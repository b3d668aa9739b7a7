/// The I/O ports through which a guest's init and vmrun talk. They need no driver, so that any kernel will do.
///
/// Two byte streams, one in each direction, carry the frames of `FrameHeader`. The ports move them a byte at a time, since
/// KVM turns every byte of an `outs` into an exit of its own. The window moves many bytes with one exit: guest-physical
/// memory that is reserved in the guest's memory map, whose first half carries bytes to the host and whose second half
/// bytes from the host. A host that has none answers 0 or all ones on `windowPage`.
///
/// The doorbell is one byte on the second serial port: the host rings when `available` rises from 0, and when `credit`
/// rises above `creditMark` after the guest has last seen it below.
public enum ChannelPort {
  /// Byte string out: the stream to the host.
  public static let toHost: UInt16 = 0x610
  /// Byte string in: the stream from the host; zeros when nothing is available.
  public static let fromHost: UInt16 = 0x612
  /// 32 bits in: bytes available in the stream from the host.
  public static let available: UInt16 = 0x614
  /// 32 bits in: bytes that the host accepts now. The guest never sends more.
  public static let credit: UInt16 = 0x618
  /// 32 bits in: `magic`.
  public static let identity: UInt16 = 0x61C
  /// 8 bits out: phase marker, one of `Phase`.
  public static let phase: UInt16 = 0x620
  /// 32 bits in: number of the window's first 4 KiB page.
  public static let windowPage: UInt16 = 0x624
  /// 32 bits in: the window's size in bytes, a multiple of 8192.
  public static let windowSize: UInt16 = 0x628
  /// 32 bits out: the first N bytes of the window are the next bytes of the stream to the host (N at most half the window).
  /// 32 bits in: the host puts the next bytes of its stream into the window's second half and answers how many.
  public static let windowTransfer: UInt16 = 0x62C

  /// What `identity` answers: "vrn1".
  public static let magic: UInt32 = 0x316E_7276
  /// Bytes of credit under which a guest waits for the doorbell.
  public static let creditMark = 65536
  /// Most bytes of one string instruction on `toHost` or `fromHost`.
  public static let stringLimit = 4096
  /// The largest window that a guest maps, in bytes: half of it is one frame of data.
  public static let windowLimit = 2 * 65536
}

/// What a guest marks on the phase port, for the waterfall of one start.
public enum Phase: UInt8, Sendable {
  /// The first instruction of the guest.
  case firstInstruction = 1
  /// Init has started.
  case initStarted = 2
  /// The command is about to be executed.
  case commandAboutToRun = 3
  /// Left to the guest's programs.
  case guestDefined = 4
}
