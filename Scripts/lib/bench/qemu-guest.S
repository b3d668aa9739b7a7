# A guest for QEMU's microvm by PVH that prints a line and ends through isa-debug-exit: as little as the built-in guest does.
  .section .note.pvh, "a", @note
  .long 4, 4, 18
  .asciz "Xen"
  .long start
  .text
  .code32
  .globl start
start:
  mov $text, %esi
  mov $length, %ecx
  mov $0x3f8, %dx
  rep outsb
  mov $1, %eax
  mov $0xf4, %dx
  out %eax, %dx
1:
  hlt
  jmp 1b
text:
  .ascii "a guest of QEMU's microvm by PVH: it prints one line of some two hundred and fifty bytes, as the built-in guest prints\n"
  .ascii "seven lines of what it is and sees, and then it ends by a port, so that both do the same amount of input and output\n"
  .set length, . - text
