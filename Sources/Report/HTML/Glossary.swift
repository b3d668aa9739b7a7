extension Page {
  /// What the page's words mean.
  mutating func glossary(hasBench: Bool) {
    let terms = (hasBench ? Self.benchTerms : []) + Self.isolationTerms
    add { body in
      body.element("dl") { list in
        for (term, meaning) in terms {
          list.leaf("dt", [], term)
          list.leaf("dd", [], meaning)
        }
      }
    }
  }

  private static let benchTerms: [(String, String)] = [
    ("Arm", "One of the things that are compared: a way to start the same payload."),
    (
      "Wall time",
      "From just before the process is made until it has been waited for, by the clock on the wall (CLOCK_MONOTONIC)."
    ),
    ("First byte", "When the first byte of the payload's output reached the one who measures."),
    ("Median, p90, p99", "The times within which 50, 90 and 99 of 100 runs ended."),
    (
      "95 % interval",
      "Where the true figure lies, as far as chance is concerned: found by drawing the runs again and again from themselves (bootstrap). "
        + "It does not cover what differs between machines or days."
    ),
    (
      "Ratio",
      "The arm's median by the reference's: 2 is twice as long. Where its interval contains 1, no difference was shown; that is not "
        + "proof that there is none."
    ),
    (
      "Warm and cold page cache",
      "Warm: the files that a start reads are in memory. Cold: they were dropped before each run and come from storage."
    ),
    (
      "Two groups",
      "The runs gather around two times beyond what chance gives (Hartigan's dip test), so that one median does not describe them."
    ),
    ("Drift", "Runs grow slower or faster over the bench beyond what chance gives (Mann and Kendall's test)."),
    ("RSS", "Resident memory: all pages that a process has in memory, those shared with others counted whole."),
    ("PSS", "Proportional share: pages shared by several processes are split among them, so that sums mean something."),
    ("MemAvailable", "How much the kernel says that new programs could have without swapping (/proc/meminfo)."),
  ]

  private static let isolationTerms: [(String, String)] = [
    ("Host", "The system on which vmrun was started, without any isolation."),
    (
      "Container",
      "Processes of the host's own kernel that see less of it: by namespaces, cgroups, capabilities and a system call filter."
    ),
    (
      "VM",
      "A virtual machine: its own kernel on processors and memory that the host's kernel lends through KVM or an emulator."
    ),
  ]
}
