import CLinux
import System

/// The ring in which KVM collects writes to registered ports (struct kvm_coalesced_mmio_ring; api.rst, section 4.116).
/// One page of the VM, mapped behind each vCPU's run page.
@safe struct CoalescedRing {
  /// A page of x86; the ring fills exactly one.
  static let pageSize = 4096
  /// Entries in the ring; one of them stays free, so that full and empty differ.
  static let slots = UInt32(KVM_COALESCED_SLOTS)

  private let ring: UnsafeMutablePointer<kvm_coalesced_mmio_ring>

  /// The ring in the page at `page`, which must stay mapped while the value is used.
  init(page: UnsafeMutableRawPointer) { unsafe ring = page.assumingMemoryBound(to: kvm_coalesced_mmio_ring.self) }

  /// Hands every waiting write to `body`, oldest first, and frees its place.
  @inline(__always)
  func drain(_ body: (_ port: UInt16, _ width: Int, _ value: UInt64) -> Void) {
    // unsafe: the page is mapped; the indices are checked before they are used.
    var first = unsafe kvm_coalesced_first(ring)
    let last = unsafe kvm_coalesced_last(ring)
    if first == last { return }
    // Only the kernel and this code write them.
    if first >= Self.slots || last >= Self.slots { die("KVM's ring of coalesced writes: index out of range") }
    while first != last {
      // unsafe: first < slots; the kernel wrote the entry before it moved `last` past it.
      let write = unsafe kvm_coalesced_get(ring, first)
      body(UInt16(truncatingIfNeeded: write.address), Int(write.width), write.value)
      first = first + 1 == Self.slots ? 0 : first + 1
    }
    // unsafe: the entries have been read; from here on the kernel may reuse them.
    unsafe kvm_coalesced_set_first(ring, first)
  }
}
