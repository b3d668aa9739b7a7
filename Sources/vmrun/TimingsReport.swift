import Container
import Machine

extension TimingsReport {
  /// The phases of a container: vmrun's own, and those that parent and child have noted.
  init(_ timeline: Timeline, _ clock: SetupClock?) {
    var ends: [(name: String, end: UInt64)] = []
    if let parsed = timeline.reached(.parse) { ends.append((Timeline.Phase.parse.name, parsed)) }
    for moment in SetupClock.Moment.allCases {
      if let time = clock?.time(of: moment), time >= timeline.start {
        ends.append((moment.name, time - timeline.start))
      }
    }
    if let ended = timeline.reached(.teardown) { ends.append((Timeline.Phase.teardown.name, ended)) }
    self.init(start: timeline.start, ends: ends)
  }
}
