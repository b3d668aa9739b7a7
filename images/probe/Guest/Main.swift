// The probe guest: what stock kernels do right after their entry, and what a KVM that emulates its guests or is not hardware fails on.
// It announces each step before it does it, so that the VMM knows which one failed. ABI/probe_steps.h describes the rest.

import Hardware
import ProbeGuestABI

/// The image's first byte.
@c(probe_guest_entry)
public func entry() -> Never {
  step(PROBE_STEP_ENTRY)
  step(PROBE_STEP_SPEED)
  // Again for as long as the VMM asks for it: one that was interrupted takes the fastest of several.
  repeat {
    out_long(UInt16(PROBE_PORT_SPEED), 1)
    run_instructions(UInt32(PROBE_SPEED_INSTRUCTIONS))
    out_long(UInt16(PROBE_PORT_SPEED), 0)
  } while in_long(UInt16(PROBE_PORT_SPEED)) != 0

  let features = cpuid(1, 0)
  step(PROBE_STEP_CMPXCHG16B)
  if features.ecx & 1 << 13 != 0 { expect(exchange_16_bytes()) }
  step(PROBE_STEP_FXSAVE)
  // CR0: MP on, EM and TS off, WP and NE on; CR4: OSFXSR, OSXMMEXCPT (SDM volume 3, 2.5).
  write_cr0(read_cr0() & ~(1 << 2 | 1 << 3) | 1 << 1 | 1 << 5 | 1 << 16)
  write_cr4(read_cr4() | 1 << 9 | 1 << 10)
  expect(keeps_vectors_by_fxsave())
  step(PROBE_STEP_XSAVE)
  if features.ecx & 1 << 26 != 0 { expect(extendedState()) }
  step(PROBE_STEP_CPUID)
  expect(leaves())
  step(PROBE_STEP_MSR)
  expect(registers())
  step(PROBE_STEP_PAGING)
  expect(paging(globalPages: features.edx & 1 << 13 != 0))
  step(PROBE_STEP_DESCRIPTORS)
  expect(load_descriptors())
  step(PROBE_STEP_EXCEPTION)
  expect(survives_an_exception())
  step(PROBE_STEP_SWAPGS)
  expect(swaps())
  step(PROBE_STEP_SYSCALL)
  expect(visits_user_mode())
  step(PROBE_STEP_TSC)
  let before = read_tsc()
  expect(read_tsc() > before)
  step(PROBE_STEP_DONE)
  // The VMM does not come back from that write.
  while true {}
}

@inline(__always)
private func step(_ number: Int) { out_long(UInt16(PROBE_PORT_STEP), UInt32(number)) }

@inline(__always)
private func expect(_ isRight: Bool) {
  if !isRight { out_long(UInt16(PROBE_PORT_WRONG), 1) }
}

/// Turns on what XSAVE can keep, as kernels do, and uses it: x87, SSE, AVX, AVX-512 and protection keys, less than a page.
private func extendedState() -> Bool {
  write_cr4(read_cr4() | 1 << 18)
  set_xcr0(cpuid(0xD, 0).eax & 0x2E7)
  // Nothing that leaves the guest comes in between: QEMU's emulated SVM does not let the hypervisor see XSETBV, so that the register has
  // its old value after the next exit. Kernels run there all the same.
  return keeps_vectors_by_xsave()
}

/// Asks for the leaves that kernels look at first. There must be long mode, since this runs in it.
private func leaves() -> Bool {
  let last = cpuid(0, 0).eax
  for leaf in 1...UInt32(0xD) where leaf <= last { _ = cpuid(leaf, 0) }
  let lastExtended = cpuid(0x8000_0000, 0).eax
  guard last >= 1, lastExtended >= 0x8000_0001 else { return false }
  for leaf in 0x8000_0002...UInt32(0x8000_0008) where leaf <= lastExtended { _ = cpuid(leaf, 0) }
  return cpuid(0x8000_0001, 0).edx & 1 << 29 != 0
}

/// Model-specific registers that kernels set first: each holds what is written to it.
private func registers() -> Bool {
  // EFER: SYSCALL on, and no-execute where there is one.
  let wanted = read_msr(0xC000_0080) | 1 | (cpuid(0x8000_0001, 0).edx & 1 << 20 != 0 ? 1 << 11 : 0)
  guard holds(0xC000_0080, wanted) else { return false }
  // PAT as Linux sets it: WB WC UC- UC WB WP UC- WT (SDM volume 3, 12.12.4).
  guard holds(0x277, 0x0407_0506_0007_0106) else { return false }
  // SYSENTER_CS, _ESP, _EIP; FS base; STAR, LSTAR, SFMASK.
  guard holds(0x174, 8), holds(0x175, UInt64(PROBE_STACK_TOP)), holds(0x176, UInt64(PROBE_LOAD_ADDRESS)) else {
    return false
  }
  guard holds(0xC000_0100, UInt64(PROBE_STATE)), holds(0xC000_0081, 0x0018_0008 << 32) else { return false }
  return holds(0xC000_0082, 0xFFFF_8000_0000_1000) && holds(0xC000_0084, 0x47700) && read_msr(0x10) != 0
}

@inline(__always)
private func holds(_ register: UInt32, _ value: UInt64) -> Bool {
  write_msr(register, value)
  return read_msr(register) == value
}

/// Loads the tables anew, turns global pages on and off as a flush of everything, and changes a mapping.
private func paging(globalPages: Bool) -> Bool {
  write_cr3(read_cr3())
  if globalPages {
    let flags = read_cr4()
    write_cr4(flags | 1 << 7)
    write_cr4(flags)
    write_cr4(flags | 1 << 7)
    if read_cr4() != flags | 1 << 7 { return false }
  }
  return sees_a_new_mapping()
}

/// SWAPGS exchanges the bases of GS.
private func swaps() -> Bool {
  write_msr(0xC000_0101, 0xFFFF_8000_0000_3000)
  write_msr(0xC000_0102, 0x4000)
  swap_gs()
  return read_msr(0xC000_0101) == 0x4000 && read_msr(0xC000_0102) == 0xFFFF_8000_0000_3000
}
