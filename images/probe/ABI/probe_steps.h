// What vmrun and the probe guest agree on: the state in which the guest is entered, its memory, and the ports by which it tells
// how far it is.
//
// Entry state, set by the VMM through KVM_SET_SREGS and KVM_SET_REGS, as for the minimal guest (images/minimal/ABI/boot_info.h):
// 64-bit long mode with flat segments, PROBE_PAGE_TABLES in CR3, no descriptor tables, interrupts off, RIP at PROBE_LOAD_ADDRESS,
// RSP at PROBE_STACK_TOP less 8. The tables map the first 2 MiB onto themselves, writable and open to user mode.
#ifndef PROBE_STEPS_H
#define PROBE_STEPS_H

// Every constant is the guest's and vmrun's alike. Addresses are guest-physical.
enum {
  PROBE_MEMORY = 0x200000,       // RAM in all: one large page
  PROBE_LOAD_ADDRESS = 0x100000, // the image's first byte and entry point
  PROBE_PAGE_TABLES = 0x10000,   // three pages
  PROBE_STACK_TOP = 0x20000,     // what lies below it down to the tables is stack
  PROBE_GDT = 0x30000,           // the guest's own descriptor tables and
  PROBE_IDT = 0x31000,           // a page that it saves the processor's state in
  PROBE_STATE = 0x32000,
};

// Ports, all of them 32 bits wide.
enum {
  PROBE_PORT_STEP = 0x620,   // the number of the step that begins
  PROBE_PORT_WRONG = 0x624,  // the step that is going on ran, and gave a wrong result
  PROBE_PORT_SPEED = 0x628,  // 1: what is timed begins, 0: it has ended
};

// The steps, in the order in which they are done.
enum {
  PROBE_STEP_ENTRY = 1,      // the first instruction
  PROBE_STEP_SPEED,          // a loop of PROBE_SPEED_INSTRUCTIONS
  PROBE_STEP_CMPXCHG16B,     // lock cmpxchg16b
  PROBE_STEP_FXSAVE,         // fxsave, fxrstor
  PROBE_STEP_XSAVE,          // xsetbv, xsave, xrstor
  PROBE_STEP_CPUID,          // cpuid with every leaf that a kernel looks at first
  PROBE_STEP_MSR,            // rdmsr and wrmsr of what a kernel sets first
  PROBE_STEP_PAGING,         // mov to cr3 and cr4, invlpg
  PROBE_STEP_DESCRIPTORS,    // lgdt, lidt, ltr, far return
  PROBE_STEP_EXCEPTION,      // an exception through a gate, and iretq
  PROBE_STEP_SWAPGS,         // swapgs
  PROBE_STEP_SYSCALL,        // sysretq to user mode, syscall back
  PROBE_STEP_TSC,            // rdtsc goes on
  PROBE_STEP_DONE,           // nothing is left to do
};

// What the timed loop executes. Fifty times what an exit costs where exits are dear, and 20 ms where an instruction is emulated.
enum { PROBE_SPEED_INSTRUCTIONS = 20000 };

#endif
