#!/bin/busybox sh
# Process 1 of the tests that use the serial console: does what the kernel's command line asks for by e2e=WORD.
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
for word in $(cat /proc/cmdline); do
  case $word in e2e=*) todo=${word#e2e=} ;; esac
done
case $todo in
  hello) echo "hello from $(uname -r)" ;;
  flood) # a known text, then its end
    stty -opost
    yes 0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ- | head -c 60000
    echo END
    ;;
  input) # as many bytes as are sent
    stty raw -echo
    echo READY
    head -c 40000 | md5sum
    ;;
  exit) probe port 0x604 42 ;;
  panic) exit 5 ;; # of process 1
  hang) halt -f ;;
  shell) exec cttyhack sh ;;
esac
poweroff -f
sleep 100
